//! The Python model service as a model server that is brought into trouble.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use cornjacket_testkit::{Process, Program, ports};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::cornjacket::http_get;
use super::model_python::run;
use super::model_server::{Behaviour, ModelServer};

/// For a start on a machine that does other things as well.
const DEADLINE: Duration = Duration::from_mins(2);

/// The service, and a door in front of it through which all requests come, for it never talks nonsense by itself.
///
/// Slow is that it is stopped in its tracks until it is told otherwise. Gone is that it is killed (-9) and started again later:
/// the door, which stays, then closes each connection at once.
pub struct Python {
    program: Program,
    port: u16,
    running: Option<Process>,
    address: SocketAddr,
    spoils: watch::Sender<bool>,
    _door: AbortOnDropHandle<()>,
    _folder: TempDir,
}

impl Python {
    /// On free ports, with the model that it comes with.
    pub async fn start() -> anyhow::Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, ports::free_port()?);
        let program = run().args(["--port", &port.to_string()]).log(folder.path().join("log"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, spoils) = (listener.local_addr()?, watch::Sender::new(false));
        let door = AbortOnDropHandle::new(tokio::spawn(open(listener, port, spoils.subscribe())));
        let mut server = Self { program, port, running: None, address, spoils, _door: door, _folder: folder };
        server.go_on().await?;
        Ok(server)
    }

    /// Has it run, whether it was stopped or killed before.
    async fn go_on(&mut self) -> anyhow::Result<()> {
        if let Some(running) = &self.running {
            return running.resume();
        }
        let running = self.running.insert(self.program.spawn()?);
        let ready = async || {
            let answer = http_get(self.port, "/v2/health/ready").await;
            answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        };
        running.until_ready(DEADLINE, "the model service to be ready", ready).await
    }
}

#[async_trait::async_trait(?Send)]
impl ModelServer for Python {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn model(&self) -> &'static str {
        "isolation_forest"
    }

    /// It has an opinion from twelve values on.
    fn window(&self) -> usize {
        16
    }

    fn values(&self) -> (f64, f64) {
        (50.0, 99.0)
    }

    async fn behave(&mut self, behaviour: Behaviour) -> anyhow::Result<()> {
        self.spoils.send_replace(behaviour == Behaviour::Nonsense);
        match behaviour {
            Behaviour::Well | Behaviour::Nonsense => self.go_on().await,
            Behaviour::Slow => self.running.as_ref().context("it is gone")?.pause(),
            Behaviour::Gone => match self.running.take() {
                Some(mut running) => running.kill9().await,
                None => Ok(()),
            },
        }
    }
}

/// Lets everybody in. Connections end with it.
async fn open(listener: TcpListener, port: u16, spoils: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, port, spoils.clone()));
    }
}

/// Passes on what both say, until one of them is gone.
async fn pass(client: TcpStream, port: u16, spoils: watch::Receiver<bool>) -> anyhow::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let ((mut asked, said), (answered, mut told)) = (client.into_split(), server.into_split());
    tokio::select! {
        ended = tokio::io::copy(&mut asked, &mut told) => { ended?; }
        ended = answer(answered, said, spoils) => ended?,
    }
    Ok(())
}

/// Passes on answers; one that is spoilt is as long as before, and no JSON any more.
async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    spoils: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = server.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let part = &mut buffer[..length];
        if *spoils.borrow() {
            // No head of an answer has braces.
            part.iter_mut().filter(|byte| **byte == b'{').for_each(|byte| *byte = b'<');
        }
        client.write_all(part).await?;
    }
}
