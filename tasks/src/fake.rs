//! Small servers on loopback for tests: they give prepared answers and hand out what they were sent.

use std::collections::VecDeque;
use std::fmt::Write as _;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A server, as long as its runtime lives.
pub(crate) struct Fake {
    port: u16,
    heard: mpsc::UnboundedReceiver<String>,
}

/// What comes back for a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// Nothing, for ever.
    Silence,
    /// These bytes, then one more every 50 ms, for ever.
    Drip(Vec<u8>),
}

/// An HTTP answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut text = format!("HTTP/1.1 {status} Fake\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    Answer::Bytes(format!("{text}\r\n{body}").into_bytes())
}

impl Fake {
    /// An HTTP server: one answer a request, the last one again and again.
    pub(crate) async fn http(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: VecDeque<Answer> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let Some(request) = request(&mut stream).await else { continue };
                let last = answers.len() == 1;
                let answer = if last { answers[0].clone() } else { answers.pop_front().unwrap() };
                let _ = tell.send(request);
                match answer {
                    Answer::Bytes(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Answer::Silence => silent.push(stream),
                    Answer::Drip(bytes) => {
                        tokio::spawn(async move {
                            let mut next = stream.write_all(&bytes).await;
                            while next.is_ok() {
                                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                                next = stream.write_all(b"x").await;
                            }
                        });
                    }
                }
            }
        });
        Self { port, heard }
    }

    /// A mail server: `refusals` holds its replies to commands by their first word; what is told is every whole session.
    pub(crate) async fn smtp(refusals: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = tell.send(session(stream, refusals).await);
            }
        });
        Self { port, heard }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was sent next; waits for it.
    pub(crate) async fn heard(&mut self) -> String {
        self.heard.recv().await.unwrap()
    }

    /// How much was sent that nobody has asked for yet.
    pub(crate) fn unheard(&self) -> usize {
        self.heard.len()
    }
}

/// Head and body of a request, as text.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    let mut length = 0;
    while !text.ends_with("\r\n\r\n") {
        let before = text.len();
        if stream.read_line(&mut text).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = text[before..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(text + &String::from_utf8_lossy(&body))
}

/// One SMTP session; the answer holds every line of the client.
async fn session(stream: TcpStream, refusals: &[(&str, &str)]) -> String {
    let mut stream = BufReader::new(stream);
    let mut told = String::new();
    let mut in_message = false;
    let mut reply = Some("220 fake");
    loop {
        if let Some(reply) = reply
            && stream.write_all(format!("{reply}\r\n").as_bytes()).await.is_err()
        {
            return told;
        }
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(0) | Err(_) => return told,
            Ok(_) => told.push_str(&line),
        }
        let word = line.split([' ', ':', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        reply = if in_message {
            in_message = line != ".\r\n";
            (!in_message).then_some("250 taken")
        } else if let Some((_, refusal)) = refusals.iter().find(|(refused, _)| *refused == word) {
            Some(refusal)
        } else {
            in_message = word == "DATA";
            Some(match word.as_str() {
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 fine",
            })
        };
    }
}
