//! Services as they are before anything stands around them.

use bytes::Bytes;
use http_body_util::Full;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::*;
use crate::config::{Sources, load};

/// A message without any field, as gRPC frames it.
const EMPTY: &[u8] = &[0; 5];

async fn call(service: &Service, path: &str) -> anyhow::Result<Status> {
    let request = Request::post(path).header("content-type", "application/grpc");
    let request = request.body(Body::new(Full::new(Bytes::from_static(EMPTY))))?;
    let response = service.routes.clone().prepare().oneshot(request).await?;
    Status::from_header_map(response.headers()).with_context(|| format!("{path} has answered"))
}

#[tokio::test]
async fn without_the_layer_that_says_who_calls_nobody_may_do_anything() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let flags = [("store.url".to_owned(), url), ("auth.mode".to_owned(), "off".to_owned())].into();
    let settings = load(&Sources { flags, ..Sources::default() })?;
    let mut process = Process::open(&settings).await?;
    let acceptor = process.acceptor();
    let actions = process.action_service(crate::actions::makers(&settings)?);
    let bare = [process.ingest_service(acceptor), process.query_service()?, actions];
    let mut called = 0;
    for service in cornjacket_proto::DESCRIPTOR_POOL.services() {
        let Some(bare) = bare.iter().find(|bare| bare.names.contains(&service.full_name())) else { continue };
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let refused = call(bare, &path).await?;
            assert_eq!(refused.code(), Code::Internal, "{path}: {refused:?}");
            assert!(refused.message().contains("who calls"), "{path}: {refused:?}");
            called += 1;
        }
    }
    let offered = bare.iter().map(|bare| bare.names.len()).sum::<usize>();
    assert!(called > offered, "the services of the contract were found");
    assert_eq!(process.store.log.head().await?.position, 0, "nobody left anything behind");
    Ok(())
}
