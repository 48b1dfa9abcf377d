//! What can stand between the daemon and a server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aesyncd::server::ServerUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_native_tls::TlsAcceptor;

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// TLS in front of `target`, with a certificate for `name` that is written to `ca_file` as its own authority.
pub(crate) async fn tls(target: SocketAddr, name: &str, ca_file: &Path) -> ServerUrl {
    let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    std::fs::write(ca_file, certified.cert.pem()).expect("writable");
    let identity =
        native_tls::Identity::from_pkcs8(certified.cert.pem().as_bytes(), certified.signing_key.serialize_pem().as_bytes())
            .expect("an identity");
    let acceptor = Arc::new(TlsAcceptor::from(native_tls::TlsAcceptor::new(identity).expect("TLS")));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = Arc::clone(&acceptor);
            tokio::spawn(async move {
                if let (Ok(mut inner), Ok(mut outer)) = (acceptor.accept(stream).await, TcpStream::connect(target).await) {
                    let _ = copy_bidirectional(&mut inner, &mut outer).await;
                }
            });
        }
    });
    ServerUrl::parse(&format!("https://localhost:{port}")).expect("an address")
}

/// A network that turns into a black hole right behind the server's `last_words`.
// Not every test file that has this module needs it.
#[allow(dead_code)]
pub(crate) async fn black_hole_after(target: SocketAddr, last_words: &'static str) -> ServerUrl {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.expect("the server");
                let (mut up, mut down) = ([0; 4_096], [0; 4_096]);
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => match read {
                            Ok(length) if length > 0 => server.write_all(&up[..length]).await.expect("written"),
                            _ => return,
                        },
                        read = server.read(&mut down) => match read {
                            Ok(length) if length > 0 => {
                                let words = last_words.as_bytes();
                                let end = down[..length].windows(words.len()).position(|part| part == words).map(|at| at + words.len());
                                if client.write_all(&down[..end.unwrap_or(length)]).await.is_err() {
                                    return;
                                }
                                if end.is_some() {
                                    std::future::pending::<()>().await;
                                }
                            }
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    ServerUrl::parse(&format!("http://127.0.0.1:{port}")).expect("an address")
}
