//! What is Cornjacket's own to say: nobody else says it, but for models with a token for it.

use cornjacket_auth::TokenRequest;
use cornjacket_domain::Scope;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use tonic::Code;

use super::cornjacket::{AUDIENCE, Cornjacket, minted, stop};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_to_say_nobody_else_says() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let people: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != Scope::Insights).collect();
    // What a model finds it may send, but not as if we had found it.
    let model = [Scope::Ingest, Scope::Insights];
    for (scopes, source, event_type, is_refused) in [
        (&people[..], "cornjacket/admin", "user.action", true),
        (&people, "mine", "ai.anomaly_detected", true),
        (&model, "mine", "ai.anomaly_detected", false),
        (&model, "cornjacket/inference", "ai.anomaly_detected", true),
        (&model, "mine", "ai.feedback_reported", true),
        (&Scope::ALL, "cornjacket/admin", "user.action", true),
    ] {
        let event = cornjacket_proto::events::Event {
            source: source.to_owned(),
            r#type: event_type.to_owned(),
            subject: "pump".to_owned(),
            ..Default::default()
        };
        let request = cornjacket_proto::ingest::AppendRequest { event: Some(event) };
        let channel = cornjacket
            .channel_with(cornjacket.ingest, &minted(&TokenRequest::new("somebody", scopes, AUDIENCE))?)
            .await?;
        let code = IngestServiceClient::new(channel)
            .append(request)
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok);
        let expected = if is_refused { Code::PermissionDenied } else { Code::Ok };
        assert_eq!(code, expected, "{source}, {event_type}, with {scopes:?}");
    }
    stop(process).await
}
