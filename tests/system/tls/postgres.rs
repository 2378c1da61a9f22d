//! The store behind TLS.

use cornjacket_testkit::{Postgres, Scratch};

use super::super::cornjacket::{Cornjacket, stop};
use super::super::events::reading;
use super::pki::Pki;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_verified_as_its_url_says() -> anyhow::Result<()> {
    let pki = Pki::new("databases")?;
    pki.server("postgres")?;
    // Of the user that servers run as.
    pki.give_key("postgres", Scratch::new("owner")?.path())?;
    let (certificate, key) = (pki.file("postgres.pem"), pki.file("postgres.key"));
    let postgres =
        Postgres::start_with(&[("ssl", "on"), ("ssl_cert_file", &certificate), ("ssl_key_file", &key)])
            .await?;
    let url = |ca: &Pki| {
        format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url("postgres"), ca.file("ca.pem"))
    };
    let cornjacket = Cornjacket::new(&[("store.url", &url(&pki))])?;
    let process = cornjacket.start().await?;
    cornjacket.append(reading("pump", "1", 1.0)).await?;
    stop(process).await?;
    let strangers = Pki::new("strangers")?;
    let said = Cornjacket::new(&[("store.url", &url(&strangers))])?.refuse().await?;
    assert!(said.contains("UnknownIssuer"), "{said}");
    Ok(())
}
