//! Secrets of endpoints: given once, kept sealed, shown to nobody, and sent only where they were meant to go.

use cornjacket_proto::actions::endpoint::Channel;
use cornjacket_proto::actions::{
    Email, Endpoint, GetEndpointRequest, HttpRequest, ListEndpointsRequest, PagerDuty, Slack,
    UpdateEndpointRequest,
};
use tonic::Code;

use super::cornjacket::{Cornjacket, stop};
use super::told::{make_endpoint, webhook};

const SECRET: &str = "0123456789abcdef0123456789ABxyzy";

fn all() -> Vec<Endpoint> {
    let headers = [("authorization".to_owned(), SECRET.to_owned())];
    let http = HttpRequest {
        url: "https://example.com/{{ rule }}".into(),
        secret_headers: headers.into(),
        ..HttpRequest::default()
    };
    let email = Email {
        host: "example.com".into(),
        from: "a@example.com".into(),
        to: vec!["b@example.com".into()],
        user: "alarms".into(),
        password: SECRET.into(),
        ..Email::default()
    };
    let slack = Slack { url: format!("https://example.com/services/{SECRET}") };
    let pagerduty = PagerDuty { routing_key: SECRET.into(), url: "https://example.com/".into() };
    [
        ("http", Channel::Http(http)),
        ("email", Channel::Email(email)),
        ("slack", Channel::Slack(slack)),
        ("pagerduty", Channel::Pagerduty(pagerduty)),
    ]
    .map(|(name, channel)| Endpoint { name: name.into(), channel: Some(channel), ..Endpoint::default() })
    .into()
}

/// The same, to be told at another place.
fn elsewhere(endpoint: Endpoint) -> Endpoint {
    let channel = endpoint.channel.map(|channel| match channel {
        Channel::Http(http) => Channel::Http(HttpRequest { url: "https://example.org/".into(), ..http }),
        Channel::Email(email) => Channel::Email(Email { host: "example.org".into(), ..email }),
        Channel::Pagerduty(pagerduty) => {
            Channel::Pagerduty(PagerDuty { url: "https://example.org/".into(), ..pagerduty })
        }
        other => other,
    });
    Endpoint { channel, ..endpoint }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_given_is_kept_and_shown_to_nobody() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut actions = cornjacket.actions().await?;
    for endpoint in all() {
        let name = endpoint.name.clone();
        assert_eq!(make_endpoint(&cornjacket, endpoint.clone()).await?, "", "{name} signs nothing");
        let request = GetEndpointRequest { name: name.clone() };
        let known = actions.get_endpoint(request).await?.into_inner().endpoint.unwrap_or_default();
        assert!(!known.secret_hint.is_empty() && !format!("{known:?}").contains(SECRET), "{known:?}");

        // As it is shown it can be changed, and keeps its secret.
        let mut update = async |endpoint: Endpoint| {
            let request = UpdateEndpointRequest { endpoint: Some(endpoint), ..Default::default() };
            actions.update_endpoint(request).await.map(|kept| kept.into_inner().endpoint.unwrap_or_default())
        };
        let kept = update(Endpoint { ordered: true, ..known.clone() }).await?;
        assert_eq!((kept.ordered, &kept.secret_hint), (true, &known.secret_hint));
        let moved = elsewhere(Endpoint { etag: String::new(), ..known.clone() });
        if moved.channel != known.channel {
            let refused = update(moved).await.expect_err("the secret would go to somebody else");
            assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused:?}");
            let moved = update(elsewhere(endpoint)).await?;
            assert!(!format!("{moved:?}").contains(SECRET), "{moved:?}");
        }
        let other = webhook(&name, "https://example.com/");
        assert_eq!(update(other).await.expect_err("another channel").code(), Code::FailedPrecondition);
    }
    let listed = actions.list_endpoints(ListEndpointsRequest::default()).await?.into_inner().endpoints;
    assert_eq!(listed.len(), all().len());
    assert!(!format!("{listed:?}").contains(SECRET), "{listed:?}");
    let without =
        Endpoint { name: "b".into(), channel: Some(Channel::Slack(Slack::default())), ..Endpoint::default() };
    let refused = format!("{:#}", make_endpoint(&cornjacket, without).await.expect_err("no URL"));
    assert!(refused.contains("slack.url: must be set"), "{refused}");
    assert!(!process.log().contains(SECRET), "no secret is logged");
    stop(process).await
}
