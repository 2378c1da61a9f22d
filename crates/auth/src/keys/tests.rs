//! Keys of an endpoint: rotation, outages, and how often it is asked.

use std::time::Duration;

use cornjacket_domain::clock::ManualClock;
use cornjacket_proto::google::rpc::RetryInfo;
use cornjacket_proto::status::{ErrorKind, Failure};
use futures::FutureExt;
use futures::future::join_all;
use serde_json::json;

use super::*;
use crate::Authenticator;
use crate::testing::{self, Pair, Provider, claims, detail, key_set, reason, until};

const MINUTE: Duration = Duration::from_mins(1);

struct Test {
    clock: Arc<ManualClock>,
    provider: Provider,
    authenticator: Authenticator,
}

impl Test {
    async fn with(key: &Pair) -> Self {
        let clock = testing::clock();
        let provider = Provider::start(key_set(&[key.jwk("old")])).await;
        let authenticator = provider.authenticator(clock.clone());
        Self { clock, provider, authenticator }
    }

    async fn fails(&self, token: &str) -> Option<Failure> {
        self.authenticator.authenticate_token(token, None).await.err()
    }
}

#[tokio::test]
async fn keys_are_fetched_when_they_are_needed_and_together() {
    let key = Pair::ed();
    let test = Test::with(&key).await;
    assert_eq!(test.provider.fetches(), 0);
    let (token, waiting) = (key.token("old"), 50);
    let failed = join_all((0..waiting).map(|_| test.fails(&token))).await;
    assert_eq!(failed, vec![None; waiting]);
    assert_eq!(test.provider.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_the_old_one_is_gone() {
    let (old, new) = (Pair::ed(), Pair::ec());
    let test = Test::with(&old).await;
    assert_eq!(test.fails(&old.token("old")).await, None);
    test.provider.serve(Some(key_set(&[new.jwk("new")])));
    assert_eq!(test.fails(&new.token("new")).await.as_ref().map(reason).as_deref(), Some("KEY_UNKNOWN"));
    test.clock.advance(Duration::from_secs(10));
    assert_eq!(test.fails(&new.token("new")).await, None);
    assert_eq!(test.fails(&old.token("old")).await.as_ref().map(reason).as_deref(), Some("KEY_UNKNOWN"));
}

#[tokio::test]
async fn a_key_that_was_taken_back_stops_working_without_a_new_one() {
    let (old, other) = (Pair::ed(), Pair::ed());
    let test = Test::with(&old).await;
    assert_eq!(test.fails(&old.token("old")).await, None);
    test.provider.serve(Some(key_set(&[other.jwk("other")])));
    test.clock.advance(6 * MINUTE);
    assert_eq!(test.fails(&old.token("old")).await, None, "it serves while keys are fetched");
    until(|| test.provider.fetches() == 2).await;
    test.clock.advance(11 * MINUTE);
    let failed = test.fails(&old.token("old")).await.expect("the key is gone");
    assert_eq!(reason(&failed), "KEY_UNKNOWN");
}

#[tokio::test]
async fn after_a_long_silence_keys_are_fetched_first() {
    let (old, other) = (Pair::ed(), Pair::ed());
    let test = Test::with(&old).await;
    assert_eq!(test.fails(&old.token("old")).await, None);
    test.provider.serve(Some(key_set(&[other.jwk("other")])));
    test.clock.advance(60 * MINUTE);
    assert_eq!(test.fails(&old.token("old")).await.as_ref().map(reason).as_deref(), Some("KEY_UNKNOWN"));
}

#[tokio::test]
async fn tokens_with_made_up_keys_cause_few_fetches() {
    let key = Pair::ed();
    let test = Test::with(&key).await;
    for round in 1..=3 {
        let tokens: Vec<_> = (0..1000).map(|number| key.token(&format!("{round}-{number}"))).collect();
        for together in tokens.chunks(100) {
            let failed = join_all(together.iter().map(|token| test.fails(token))).await;
            assert!(failed.iter().all(Option::is_some));
        }
        assert_eq!(test.provider.fetches(), round);
        test.clock.advance(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn while_the_endpoint_is_down_old_keys_serve_and_unknown_ones_wait() {
    let (old, new) = (Pair::ed(), Pair::ed());
    let test = Test::with(&old).await;
    assert_eq!(test.fails(&old.token("old")).await, None);
    test.provider.serve(None);
    test.clock.advance(Duration::from_secs(10));
    for _ in 0..2 {
        let failed = test.fails(&new.token("new")).await.expect("its key cannot be fetched");
        assert_eq!((failed.kind(), reason(&failed).as_str()), (ErrorKind::Unavailable, "KEYS_UNAVAILABLE"));
        assert!(detail::<RetryInfo>(&failed).is_some());
    }
    assert_eq!(test.provider.fetches(), 2);
    test.clock.advance(30 * MINUTE);
    assert_eq!(test.fails(&old.token("old")).await, None);
    assert!(test.fails(&new.token("new")).await.is_some(), "the fetch that began meanwhile fails as well");
    assert_eq!(test.provider.fetches(), 3);
    test.provider.serve(Some(key_set(&[new.jwk("new")])));
    test.clock.advance(Duration::from_secs(10));
    assert_eq!(test.fails(&new.token("new")).await, None);
}

/// A caller that hangs up must not end the fetch that others wait for, nor use up the next one.
#[tokio::test]
async fn a_caller_that_goes_away_spoils_nothing() {
    let key = Pair::ed();
    let test = Test::with(&key).await;
    let token = key.token("old");
    assert_eq!(test.fails(&token).now_or_never(), None, "nobody has keys at once");
    assert_eq!(test.fails(&token).await, None);
    assert_eq!(test.provider.fetches(), 1);
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are_and_its_tokens_name_it() {
    let key = Pair::ec();
    let test = Test::with(&key).await;
    let options = Options { keys: Some(KeySource::Issuer(test.provider.url.clone())), ..Options::default() };
    let authenticator = Authenticator::start(&options, test.clock.clone()).expect("good options");
    for (issuer, expected) in [(test.provider.url.as_str(), None), ("https://other", Some("ISSUER_MISMATCH"))]
    {
        let header = json!({ "alg": "ES256", "kid": "old" });
        let token = testing::token(&header, &claims(json!({ "iss": issuer })), |message| key.sign(message));
        let failed = authenticator.authenticate_token(&token, None).await.err();
        assert_eq!(failed.as_ref().map(reason).as_deref(), expected);
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_taken() {
    let test = Test::with(&Pair::ed()).await;
    let fetched =
        |issuer: String| async move { Endpoint::of_issuer(&issuer).expect("a good URL").fetch().await };
    assert!(fetched(test.provider.url.clone()).await.is_ok());
    let other = fetched(format!("{}/", test.provider.url)).await;
    assert!(other.is_err_and(|why| why.contains("another issuer")));
}

#[tokio::test]
async fn keys_come_from_where_the_settings_say_and_are_not_without_end() {
    let key = Pair::ed();
    let test = Test::with(&key).await;
    let fetched = |path: &str| {
        let endpoint = Endpoint::keys_at(&format!("{}{path}", test.provider.url)).expect("a good URL");
        async move { endpoint.fetch().await }
    };
    assert!(fetched("/keys").await.is_ok());
    assert!(fetched("/elsewhere").await.is_err_and(|why| why.contains("302")));
    test.provider.serve(Some(json!("x".repeat(300_000))));
    assert!(fetched("/keys").await.is_err_and(|why| why.contains("bytes")));
    let nobody = Endpoint::keys_at("http://127.0.0.1:1/keys").expect("a good URL");
    assert!(nobody.fetch().await.is_err());
}
