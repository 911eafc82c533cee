//! Listens: TCP, TLS, unix sockets. HTTP/1.1, with limits on how long a peer may take to say something.
//!
//! Ends when its token is cancelled: event streams close at once, other requests have [`GRACE`] to end.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::stall::Stall;

/// How long requests may go on after the end was asked for.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long a peer may take to send its head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer may take nothing of an answer.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at one time over all listeners.
const MAX_CONNECTIONS: usize = 2_048;

/// Where a request comes from. An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over the network.
    Tcp {
        /// The address at the other end.
        address: SocketAddr,
        /// Encrypted.
        tls: bool,
    },
    /// Over the socket beside the store.
    Unix {
        /// The user that the process at the other end belongs to.
        uid: u32,
        /// The user that this process belongs to.
        own: u32,
    },
}

/// Something to listen on.
pub enum Listener {
    /// Plain HTTP.
    Tcp(TcpListener),
    /// HTTPS.
    Tls(TcpListener, TlsAcceptor),
    /// A socket file; it is removed at the end.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Plain HTTP on an address.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(address).await?))
    }

    /// HTTPS on an address, with a chain and a key in PEM files.
    ///
    /// # Errors
    /// The address cannot be had, or the files are not what they must be.
    pub async fn tls(address: SocketAddr, chain: &Path, key: &Path) -> io::Result<Self> {
        let acceptor = tls_acceptor(chain, key)?;
        Ok(Self::Tls(TcpListener::bind(address).await?, acceptor))
    }

    /// A socket file for this user alone (0600). The caller owns the place: a file that lies there is a dead process's.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn unix(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self::Unix(listener, path.to_owned()))
    }

    /// The address that was had; `None` for a socket file.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

fn tls_acceptor(chain: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let bad = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(chain, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(chain, &error))?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(|error| bad(chain, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves on all listeners until `stop` is cancelled, then waits for what is under way.
pub async fn serve(app: Router, listeners: Vec<Listener>, stop: CancellationToken) {
    let (tasks, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let loops = listeners.into_iter().map(|listener| {
        let door = Door { app: app.clone(), stop: stop.clone(), tasks: tasks.clone(), slots: Arc::clone(&slots) };
        tokio::spawn(door.accept(listener))
    });
    for one in loops.collect::<Vec<_>>() {
        if let Err(error) = one.await {
            tracing::error!(%error, "a listener ended");
        }
    }
    tasks.close();
    if tokio::time::timeout(GRACE + Duration::from_secs(1), tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "some requests did not end in time");
    }
}

#[derive(Clone)]
struct Door {
    app: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
}

impl Door {
    async fn accept(self, listener: Listener) {
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
                () = self.stop.cancelled() => break,
            };
            let Ok(slot) = slot else { break };
            let accepted = tokio::select! {
                accepted = self.one(&listener) => accepted,
                () = self.stop.cancelled() => break,
            };
            match accepted {
                Ok(connection) => {
                    self.tasks.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        if let Listener::Unix(_, path) = &listener
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove the socket");
        }
    }

    async fn one(&self, listener: &Listener) -> io::Result<futures::future::BoxFuture<'static, ()>> {
        let door = self.clone();
        Ok(match listener {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::pin(async move { door.talk(stream, Peer::Tcp { address, tls: false }).await })
            }
            Listener::Tls(listener, acceptor) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let acceptor = acceptor.clone();
                Box::pin(async move {
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => door.talk(stream, Peer::Tcp { address, tls: true }).await,
                        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
                    }
                })
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::Unix { uid: stream.peer_cred()?.uid(), own: own_uid()? };
                Box::pin(async move { door.talk(stream, peer).await })
            }
        })
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let app = self.app;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            // A router is always ready.
            app.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(Stall::new(stream, STALL_TIMEOUT)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.stop.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(GRACE, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "a connection ended");
        }
    }
}

/// The user that this process belongs to.
fn own_uid() -> io::Result<u32> {
    Ok(std::fs::metadata("/proc/self")?.uid())
}
