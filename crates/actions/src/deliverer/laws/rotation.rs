//! An endpoint that is signed with a new key is signed with those before it for as long as was said, by the clock, and no longer.

use std::time::Duration;

use cornjacket_domain::{Caller, Limits, Timestamp};
use cornjacket_proto::actions::action_service_server::ActionService;
use cornjacket_proto::actions::{
    CreateEndpointRequest, Endpoint, HttpRequest, RotateEndpointSecretRequest, RotateEndpointSecretResponse,
    Signing, Webhook, endpoint::Channel,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Request, Status};

use super::bed::{Bed, MINUTE};
use super::laws;
use crate::deliverer::sending::send;
use crate::outside::tests::Receiver;
use crate::rpc::{ActionRpc, TestTurns};
use crate::{NotVerified, Verifier};

laws!(
    former_keys_sign_until_their_time_and_no_longer,
    at_once_is_at_once,
    what_cannot_be_rotated_is_refused_and_says_why,
);

const HOUR: Duration = Duration::from_hours(1);

fn rpc(bed: &Bed) -> anyhow::Result<ActionRpc> {
    let (store, ports) = (&bed.store, bed.ports()?);
    Ok(ActionRpc {
        defining: ports.defining,
        ledger: store.ledger.clone(),
        deliveries: ports.deliveries,
        alarms: store.alarms.clone(),
        offsets: ports.offsets,
        log: store.log.clone(),
        snapshots: store.snapshots.clone(),
        makers: ports.makers,
        clock: ports.clock,
        limits: Limits::default(),
        test_turns: TestTurns::default(),
    })
}

fn asked<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.extensions_mut().insert(Caller::allow_all());
    request
}

fn signed(name: &str, url: &str, signing: Signing) -> Endpoint {
    let webhook = Webhook { url: url.into(), signing: signing.into(), ..Webhook::default() };
    Endpoint { name: name.into(), channel: Some(Channel::Webhook(webhook)), ..Endpoint::default() }
}

async fn create(bed: &Bed, endpoint: Endpoint) -> anyhow::Result<String> {
    let request = asked(CreateEndpointRequest { endpoint: Some(endpoint) });
    Ok(rpc(bed)?.create_endpoint(request).await?.into_inner().verification_key)
}

async fn rotate(
    bed: &Bed,
    name: &str,
    overlap: Option<Duration>,
) -> anyhow::Result<RotateEndpointSecretResponse> {
    let overlap = overlap.map(prost_types::Duration::try_from).transpose()?;
    let request = RotateEndpointSecretRequest { name: name.into(), overlap, etag: String::new() };
    Ok(rpc(bed)?.rotate_endpoint_secret(asked(request)).await?.into_inner())
}

/// Tells the endpoint something now: which of these keys verify it, and how many signatures it has.
async fn verify(
    bed: &Bed,
    receiver: &mut Receiver,
    endpoint: &str,
    keys: &[&str],
) -> anyhow::Result<(Vec<bool>, usize)> {
    bed.tell(endpoint, &[format!("{endpoint}-{}", bed.now().as_micros())], 0).await?;
    let mut desk = bed.desk(None)?;
    for (receiver, delivery) in desk.round(0).await?.deliveries {
        desk.put(send(bed.ports()?, receiver, delivery).await);
    }
    desk.close().await?;
    let (headers, body) = parted(&receiver.ended().await??)?;
    let verifies = |key: &&str| {
        let theirs = Verifier::parse(key).expect("a key");
        let said = theirs.verify(&headers, body.as_bytes(), bed.now());
        assert!(matches!(said, Ok(()) | Err(NotVerified::Signature)), "{said:?}");
        said.is_ok()
    };
    let signatures = headers["webhook-signature"].to_str()?.split(' ').count();
    Ok((keys.iter().map(verifies).collect(), signatures))
}

/// The head of a request as fields, and its body.
fn parted(heard: &[u8]) -> anyhow::Result<(HeaderMap, String)> {
    let text = std::str::from_utf8(heard)?;
    let (fields, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let fields = fields.lines().skip(1).filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| {
        Ok::<_, anyhow::Error>((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?))
    });
    Ok((fields.collect::<anyhow::Result<_>>()?, body.to_owned()))
}

async fn former_keys_sign_until_their_time_and_no_longer(bed: Bed) -> anyhow::Result<()> {
    for (name, signing) in [("hmac", Signing::Hmac), ("ed25519", Signing::Ed25519)] {
        let mut receiver = Receiver::saying("HTTP/1.1 204 No Content\r\n\r\n").await?;
        let first = create(&bed, signed(name, &receiver.url().to_string(), signing)).await?;
        let began = bed.now();
        let rotated = rotate(&bed, name, None).await?;
        let until = rotated.former_until.as_ref().and_then(Timestamp::from_proto);
        assert_eq!(until, Some(began + HOUR * 24), "as it is when nothing is said");
        let endpoint = rotated.endpoint.unwrap_or_default();
        assert_eq!((endpoint.etag.as_str(), endpoint.secret_hint.as_str()), ("2", ""), "it has changed");
        let both = [rotated.verification_key.as_str(), first.as_str()];
        assert_eq!(verify(&bed, &mut receiver, name, &both).await?, (vec![true, true], 2));
        bed.clock.advance(HOUR * 23);
        assert_eq!(verify(&bed, &mut receiver, name, &both).await?, (vec![true, true], 2));
        bed.clock.advance(HOUR);
        assert_eq!(verify(&bed, &mut receiver, name, &both).await?, (vec![true, false], 1));
    }
    Ok(())
}

async fn at_once_is_at_once(bed: Bed) -> anyhow::Result<()> {
    let mut receiver = Receiver::saying("HTTP/1.1 204 No Content\r\n\r\n").await?;
    let first = create(&bed, signed("pager", &receiver.url().to_string(), Signing::Hmac)).await?;
    let second = rotate(&bed, "pager", Some(HOUR)).await?.verification_key;
    let third = rotate(&bed, "pager", Some(Duration::ZERO)).await?;
    assert_eq!(third.former_until, None);
    let keys = [third.verification_key.as_str(), &second, &first];
    assert_eq!(verify(&bed, &mut receiver, "pager", &keys).await?, (vec![true, false, false], 1));
    Ok(())
}

async fn what_cannot_be_rotated_is_refused_and_says_why(bed: Bed) -> anyhow::Result<()> {
    let refused = async |name, overlap| {
        let refused = rotate(&bed, name, overlap).await.expect_err("it cannot be rotated");
        let status: Status = refused.downcast()?;
        anyhow::Ok((status.code(), status.message().to_owned()))
    };
    assert_eq!(refused("nobody", None).await?.0, Code::NotFound);
    create(&bed, signed("pager", "https://example.com/", Signing::Hmac)).await?;
    let (code, said) = refused("pager", Some(HOUR * 24 * 7 + MINUTE)).await?;
    assert_eq!((code, said.as_str()), (Code::InvalidArgument, "overlap must be 0 seconds to 7 days"));
    let http = HttpRequest { url: "https://example.com/".into(), ..HttpRequest::default() };
    create(&bed, Endpoint { channel: Some(Channel::Http(http)), ..signed("api", "", Signing::Hmac) }).await?;
    let (code, said) = refused("api", None).await?;
    assert_eq!(code, Code::FailedPrecondition);
    assert!(said.contains("http has the secret") && said.contains("UpdateEndpoint"), "{said}");
    Ok(())
}
