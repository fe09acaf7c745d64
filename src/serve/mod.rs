//! The page and its HTTP API.
//!
//! [`start`] answers requests on a thread of its own. What it shows comes from [`Live`], which the loop
//! writes through a [`Lens`]; what it changes goes through the [`Keeper`], which knows nothing of HTTP.
//! Nothing here can stall the loop: the lens never waits, and whatever is slow runs on a bounded number
//! of other threads. `docs/openapi.yaml` describes the requests.

mod answers;
mod files;
mod guard;
mod health;
mod house;
mod keeper;
mod listen;
mod live;
mod picture;
mod problem;
mod stream;
mod teaching;
mod token;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::routing::MethodRouter;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::guard::Guard;
use self::house::House;
use crate::publish::host_name;

pub use health::{ClassHealth, HealthView, Pair};
pub use house::{Metrics, Parts};
pub use keeper::{
    ClassView, Keeper, KeeperError, MAX_APART, MAX_FRAMES, ShotView, Summary, Taught,
};
pub use live::{Lens, Live};
pub use token::Token;

/// Where the page is served unless told otherwise: on this machine alone.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4912);

/// Threads for what is slow; `house` lets fewer requests at them, one is for the live picture.
const SLOW_THREADS: usize = 8;

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address.
    #[error("the page cannot be served at {address}: {}", binding(error))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Everybody in the network could teach and delete.
    #[error(
        "the page would be open to everybody who reaches {0}: give a file for a token, or serve it at \
         127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The token's file.
    #[error("{path}: {error}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong.
        error: io::Error,
    },
    /// The system gave no thread.
    #[error("starting a thread for the page")]
    Thread(#[source] io::Error),
}

fn binding(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "something else is there already, perhaps another tipcam: choose another port".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need rights: choose another".into(),
        _ => error.to_string(),
    }
}

/// Where and for whom the page is served.
#[derive(Clone)]
pub struct Settings {
    /// Address and port; port 0 takes any that is free.
    pub address: SocketAddr,
    /// Names by which the machine is called besides its own, as `camera.example.org`.
    pub names: Vec<String>,
    /// What has to be shown to use the page; needed where the address is not this machine's alone.
    pub token: Option<Token>,
    /// Whether the picture and the answers are shown without the token too.
    pub open_reading: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: DEFAULT_ADDRESS, names: Vec::new(), token: None, open_reading: false }
    }
}

/// The page while it is served.
pub struct Server {
    address: SocketAddr,
    token: Option<Token>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves the page until the [`Server`] is stopped or dropped.
///
/// # Errors
/// [`ServeError`].
pub fn start(settings: Settings, parts: Parts) -> Result<Server, ServeError> {
    let Settings { address, names, token, open_reading } = settings;
    if !address.ip().is_loopback() && token.is_none() {
        return Err(ServeError::NoToken(address));
    }
    let bind = |error| ServeError::Bind { address, error };
    let listener = std::net::TcpListener::bind(address).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let names = names.into_iter().chain(own_names()).map(|name| name.to_ascii_lowercase());
    let guard = Guard { token: token.clone(), open_reading, names: names.collect() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(SLOW_THREADS)
        .thread_name("serve-slow")
        .build()
        .map_err(ServeError::Thread)?;
    let (stop, stopped) = watch::channel(false);
    let serve = async move {
        // only fails without a runtime around it
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        let house = Arc::new(House::new(parts, stopped.clone()));
        tokio::spawn(stream::paint(Arc::clone(&house)));
        listen::serve(listener, router(house, guard), stopped).await;
    };
    let run = move || {
        runtime.block_on(serve);
        // a request that still waits for a frame is not waited for
        runtime.shutdown_timeout(Duration::from_millis(100));
    };
    let thread = thread::Builder::new().name("serve".to_owned()).spawn(run);
    Ok(Server { address, token, stop, thread: Some(thread.map_err(ServeError::Thread)?) })
}

impl Server {
    /// Where it is served; with the true port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address for people, without the token.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.address.port();
        let ip = self.address.ip();
        match host_name().filter(|_| ip.is_unspecified()) {
            Some(name) => format!("http://{name}:{port}/"),
            None if ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => format!("http://127.0.0.1:{port}/"),
            None if ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => format!("http://[::1]:{port}/"),
            None => format!("http://{}/", self.address),
        }
    }

    /// The page's address with the token in it, to be shown once: only where the token was made just
    /// now. What stands behind # is not sent over the network.
    #[must_use]
    pub fn first_url(&self) -> Option<String> {
        let token = self.token.as_ref().filter(|token| token.is_new())?;
        Some(format!("{}#token={}", self.url(), token.text()))
    }

    /// Ends it: streams end, requests that are being answered get a moment.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // a panic there has been told already
            let _ = thread.join();
        }
    }
}

/// What the machine calls itself, and how the local network finds it.
fn own_names() -> impl Iterator<Item = String> {
    host_name().into_iter().flat_map(|name| [format!("{name}.local"), name])
}

/// A method, a path and what answers.
type Route = (&'static str, &'static str, MethodRouter<Arc<House>>);

/// Everything that is answered.
fn routes() -> Vec<Route> {
    [files::routes(), answers::routes(), stream::routes(), teaching::routes()].concat()
}

fn router(house: Arc<House>, guard: Guard) -> Router {
    let router = Router::new();
    let router =
        routes().into_iter().fold(router, |all, (_, path, answer)| all.route(path, answer));
    router
        .fallback(house::not_found)
        .method_not_allowed_fallback(house::not_allowed)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::pass))
        .with_state(house)
}
