//! The page in the browser.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::values::Invalid;
use crate::cli::note;
use crate::serve::{DEFAULT_ADDRESS, Parts, Server, Settings, Token, start};

#[derive(Args)]
#[command(next_help_heading = "Serve")]
pub(super) struct Page {
    /// Serve a page to watch and to teach, and its HTTP API [address: 127.0.0.1:4912, which only this
    /// machine reaches; 0.0.0.0:4912 for the network]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "",
          value_parser = parse_address)]
    serve: Option<SocketAddr>,

    /// The file with the token that the page asks for where the network reaches it; made if it is not
    /// there [default: token in the folder of --state]
    #[arg(long, value_name = "FILE")]
    serve_token: Option<PathBuf>,

    /// A name by which browsers call this machine besides its own; may be given several times
    #[arg(long, value_name = "NAME")]
    serve_name: Vec<String>,

    /// Show picture and answers without the token too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_possible_values = true,
          hide_default_value = true, action = clap::ArgAction::Set)]
    serve_open_reading: bool,
}

impl Page {
    /// Whether the page was asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.serve.is_some()
    }

    /// Serves the page and says where; `state` is the folder for a token.
    pub(super) fn start(&self, parts: Parts, state: Option<&PathBuf>) -> Result<Option<Server>> {
        let Some(address) = self.serve else { return Ok(None) };
        let in_state = state.map(|dir| dir.join("token"));
        let token = match (&self.serve_token, in_state) {
            (Some(file), _) => Some(Token::open(file)?),
            (None, Some(file)) if !address.ip().is_loopback() => Some(Token::open(&file)?),
            _ => None,
        };
        if !address.ip().is_loopback() && token.is_none() {
            anyhow::bail!(
                "--serve {address}: whoever is in the network could watch and teach: give \
                 --serve-token FILE or --state DIR (a token is made there), or serve 127.0.0.1"
            );
        }
        let settings = Settings {
            address,
            names: self.serve_name.clone(),
            token,
            open_reading: self.serve_open_reading,
        };
        let server = start(settings, parts).context("--serve")?;
        match server.first_url() {
            Some(url) => note(&format!("the page, with its token: {url}")),
            None => note(&format!("the page: {}", server.url())),
        }
        Ok(Some(server))
    }
}

/// An address, with or without a port.
fn parse_address(text: &str) -> Result<SocketAddr, Invalid> {
    if text.is_empty() || text == "true" {
        return Ok(DEFAULT_ADDRESS);
    }
    let port = DEFAULT_ADDRESS.port();
    let text = text.replacen("localhost", "127.0.0.1", 1);
    let address = text.parse().or_else(|_| match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}").parse(),
        None => text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)),
    });
    address.map_err(|_| {
        Invalid(
            "write an address as 127.0.0.1:4912 or 0.0.0.0:4912; the input stands before --serve",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_parts() {
        for (text, address) in [
            ("", "127.0.0.1:4912"),
            ("localhost", "127.0.0.1:4912"),
            ("localhost:80", "127.0.0.1:80"),
            ("0.0.0.0", "0.0.0.0:4912"),
            (":8080", "0.0.0.0:8080"),
            ("[::]:1", "[::]:1"),
        ] {
            assert_eq!(parse_address(text).unwrap(), address.parse().unwrap(), "{text}");
        }
        for text in ["/dev/video0", "demo", "127.0.0.1:99999"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
