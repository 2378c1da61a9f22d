//! A model server, and what can become of one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// How long one takes that is slow.
const SLOW: Duration = Duration::from_secs(10);

/// What a model server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It scores.
    Well,
    /// It answers after ten seconds, or not before it is told to do something else.
    Slow,
    /// It answers with what is no score.
    Nonsense,
    /// Nobody is there, and whoever was in the middle of something is cut off.
    Gone,
}

/// A server of the Open Inference Protocol that can be brought into trouble.
#[async_trait::async_trait(?Send)]
pub trait ModelServer {
    /// Where it is, whether it is there or not.
    fn url(&self) -> String;

    /// The name of its model.
    fn model(&self) -> &'static str;

    /// How many values it is shown of a series: the last ones.
    fn window(&self) -> usize;

    /// A value of which it thinks nothing, and one that it thinks unusual after a window of the other.
    fn values(&self) -> (f64, f64);

    /// From now on.
    async fn behave(&mut self, behaviour: Behaviour) -> anyhow::Result<()>;
}

/// One inside the test: what is above 80 is unusual.
pub struct Inside {
    address: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
    windows: Windows,
    running: Option<AbortOnDropHandle<()>>,
}

/// The rows that were asked for.
type Windows = Arc<Mutex<Vec<Vec<f64>>>>;

impl Inside {
    /// On a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, behaviour) = (listener.local_addr()?, watch::Sender::new(Behaviour::Well));
        let mut server = Self { address, behaviour, windows: Windows::default(), running: None };
        server.listen(listener);
        Ok(server)
    }

    /// Whether it was ever asked for that window.
    pub fn was_asked_for(&self, window: &[f64]) -> bool {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == window)
    }

    fn listen(&mut self, listener: TcpListener) {
        let (behaviour, windows) = (self.behaviour.subscribe(), self.windows.clone());
        // Connections end with it.
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, behaviour.clone(), windows.clone()));
            }
        })));
    }
}

#[async_trait::async_trait(?Send)]
impl ModelServer for Inside {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn model(&self) -> &'static str {
        "pump"
    }

    fn window(&self) -> usize {
        4
    }

    fn values(&self) -> (f64, f64) {
        (50.0, 99.0)
    }

    async fn behave(&mut self, behaviour: Behaviour) -> anyhow::Result<()> {
        self.behaviour.send_replace(behaviour);
        if behaviour == Behaviour::Gone {
            if let Some(running) = self.running.take() {
                running.abort();
                // Until then the port is taken.
                anyhow::ensure!(running.await.is_err_and(|error| error.is_cancelled()), "it ran until now");
            }
        } else if self.running.is_none() {
            self.listen(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }
}

/// Answers requests on a connection, one after the other, until the client has enough.
async fn serve(
    stream: TcpStream,
    behaviour: watch::Receiver<Behaviour>,
    windows: Windows,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let now = *behaviour.borrow();
        if now == Behaviour::Slow {
            tokio::time::sleep(SLOW).await;
        }
        let body = if now == Behaviour::Nonsense {
            json!({ "outputs": [{ "name": "score", "shape": [1], "datatype": "FP64", "data": [17] }] })
        } else {
            score(&request, &windows)?
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
    }
    Ok(())
}

/// The body of the next request.
async fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Value>> {
    let (mut line, mut length) = (String::new(), 0);
    let mut first = true;
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        if std::mem::take(&mut first) {
            anyhow::ensure!(text == "POST /v2/models/pump/infer HTTP/1.1", "{text}");
        }
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

fn score(request: &Value, windows: &Windows) -> anyhow::Result<Value> {
    let input = &request["inputs"][0];
    let shape: [usize; 2] = serde_json::from_value(input["shape"].clone())?;
    let data: Vec<f64> = serde_json::from_value(input["data"].clone())?;
    anyhow::ensure!(input["name"] == "x" && input["datatype"] == "FP64", "{input}");
    anyhow::ensure!(data.len() == shape[0] * shape[1], "{shape:?} is not {} numbers", data.len());
    let last = |row: &[f64]| row.last().copied().context("no row is empty");
    let rows: Vec<Vec<f64>> = data.chunks(shape[1]).map(<[f64]>::to_vec).collect();
    let lasts = rows.iter().map(|row| last(row)).collect::<anyhow::Result<Vec<_>>>()?;
    let scores: Vec<f64> = lasts.into_iter().map(|value| if value > 80.0 { 0.95 } else { 0.1 }).collect();
    windows.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
    let output = json!({ "name": "score", "shape": [shape[0]], "datatype": "FP64", "data": scores });
    Ok(json!({ "id": request["id"], "model_name": "pump", "outputs": [output] }))
}
