use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::super::PublishError;

/// TLS that trusts the authorities in the PEM file `ca`, or those of the system.
pub(super) fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, PublishError> {
    let roots = match ca {
        Some(path) => roots_of_file(path)?,
        None => roots_of_system()?,
    };
    let unusable = |error: rustls::Error| {
        PublishError::setting("mqtt url", error.to_string(), "use mqtt:// without TLS")
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, PublishError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| PublishError::file(path, error, "check that it may be read"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|reason| {
            PublishError::setting(name(), reason, "save the authority's certificate as PEM again")
        })?;
    }
    if roots.is_empty() {
        let remedy = "it should begin with -----BEGIN CERTIFICATE-----";
        return Err(PublishError::setting(name(), "no certificate in it", remedy));
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, PublishError> {
    let mut roots = RootCertStore::empty();
    // a system's list may hold old certificates that nobody understands: the others count
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(PublishError::setting(
            "mqtt url",
            "this system has no list of certificate authorities",
            "install the package ca-certificates, or name the broker's authority as mqtt ca",
        ));
    }
    Ok(roots)
}
