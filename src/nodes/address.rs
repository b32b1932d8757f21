//! Where a parent is asked, and how: one request, on one connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pinned;
use crate::config::identity::ManagementKey;
use crate::config::{BindAddress, BindHost, BindTo, Config, PortTls, Rights};

/// Where the embedded default listens.
const DEFAULT_URL: &str = "http://127.0.0.1:19999";
/// A parent answers within milliseconds, and says so itself when it cannot.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Where a parent is asked.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) url: String,
    authority: String,
    host: String,
    port: u16,
    /// In front of all paths.
    prefix: String,
    /// `None`: plainly.
    tls: Option<Arc<ClientConfig>>,
}

impl Address {
    pub(super) fn find(url: Option<&Uri>, config: Option<&Config>) -> anyhow::Result<Self> {
        match (url, config) {
            (Some(url), _) => Self::of(url, config),
            (None, Some(config)) => Self::of(&configured(config)?, Some(config)),
            (None, None) => Self::of(&Uri::from_static(DEFAULT_URL), None),
        }
    }

    fn of(url: &Uri, config: Option<&Config>) -> anyhow::Result<Self> {
        let Some(host) = url.host() else { bail!("{url} is no address of the form http://HOST:PORT") };
        let (scheme, tls, port) = match url.scheme_str() {
            None | Some("http") => ("http", None, 80),
            Some("https") => {
                let certificate = config.and_then(|config| config.web.tls.certificate.as_ref());
                let certificate = certificate.with_context(|| {
                    format!("{url}: a parent with TLS is known by its certificate; name its --config")
                })?;
                ("https", Some(pinned::client(certificate)?), 443)
            }
            Some(other) => bail!("{url}: a parent speaks http and https, not {other}"),
        };
        let port = url.port_u16().unwrap_or(port);
        let authority = format!("{host}:{port}");
        let prefix = url.path().trim_end_matches('/').to_owned();
        let url = format!("{scheme}://{authority}{prefix}");
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { url, authority, host, port, prefix, tls })
    }

    /// Status and text of the answer. `key` is what those need who manage.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&ManagementKey>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close");
        if let Some(key) = key {
            request = request.header("x-auth-token", key.as_str());
        }
        let answer = tokio::time::timeout(ANSWERS_WITHIN, self.exchange(request.body(Empty::new())?)).await;
        answer.with_context(|| format!("{} does not answer within {ANSWERS_WITHIN:?}", self.url))?
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> anyhow::Result<(StatusCode, String)> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.with_context(|| {
            format!("no parent answers at {}; start it, or name its address by --url", self.url)
        })?;
        let Some(tls) = &self.tls else { return self.send(stream, request).await };
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.with_context(|| {
            format!("{}: a parent with another certificate than that of the configuration, or none", self.url)
        })?;
        self.send(stream, request).await
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Empty<Bytes>>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let nothing = || format!("{} does not speak HTTP", self.url);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(nothing)?;
        // What goes wrong there, the request tells.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.with_context(nothing)?.into_parts();
        if head.status.is_redirection() {
            bail!(
                "{} serves browsers with TLS only: name the parent's --config, or an https --url as well",
                self.url
            );
        }
        let body = body.collect().await.context("the answer is cut off")?.to_bytes();
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// The first port that may be asked and may be used to manage, else the first that may be asked.
fn configured(config: &Config) -> anyhow::Result<Uri> {
    let is_tcp = |bind: &&BindTo| matches!(bind.address, BindAddress::Tcp { .. });
    let may = |rights| config.web.bind.iter().filter(is_tcp).find(|bind| bind.rights.contains(rights));
    let bind = may(Rights::DASHBOARD | Rights::MANAGEMENT).or_else(|| may(Rights::DASHBOARD));
    let Some(BindTo { address: BindAddress::Tcp { host, port, .. }, tls, .. }) = bind else {
        bail!("no TCP port of '[web] bind to' has the right 'dashboard'; name one by --url");
    };
    let host = match host {
        BindHost::Any => "127.0.0.1".to_owned(),
        BindHost::Ip(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        BindHost::Ip(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".to_owned(),
        BindHost::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        BindHost::Ip(ip) => ip.to_string(),
        BindHost::Name(name) => name.clone(),
    };
    let scheme = if *tls != PortTls::Optional && has_certificate(config) { "https" } else { "http" };
    format!("{scheme}://{host}:{port}").parse().context("the address of '[web] bind to'")
}

/// Whether a parent of this configuration speaks TLS.
fn has_certificate(config: &Config) -> bool {
    let tls = &config.web.tls;
    let files = tls.key.as_ref().zip(tls.certificate.as_ref());
    files.is_some_and(|(key, certificate)| tls.is_required || (key.exists() && certificate.exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url() {
        let address = |url: &str| Address::of(&url.parse().unwrap(), None);
        let found = address("http://[::1]:19998/netdata/").unwrap();
        assert_eq!((&*found.host, found.port, &*found.prefix), ("::1", 19998, "/netdata"));
        assert_eq!(found.url, "http://[::1]:19998/netdata");
        assert_eq!(address("http://parent").unwrap().port, 80);
        assert_eq!(address("parent:19999").unwrap().port, 19999);
        assert!(address("https://parent").unwrap_err().to_string().contains("--config"));
        assert!(address("ftp://parent").is_err());
    }

    #[test]
    fn a_configuration_says_where_its_parent_is_asked() {
        #[track_caller]
        fn check(bind: &str, expected: &str) {
            let directory = tempfile::tempdir().expect("a directory");
            let text = format!("[web]\nbind to = {bind}\n");
            std::fs::write(directory.path().join("netdata.conf"), text).expect("written");
            let loaded = Config::load(Some(directory.path()), Some(directory.path())).expect("good");
            assert_eq!(configured(&loaded.config).expect("a port").to_string(), expected, "{bind}");
        }
        check("*:20001", "http://127.0.0.1:20001/");
        check("0.0.0.0:20001=streaming 127.0.0.2:20002", "http://127.0.0.2:20002/");
        check("10.0.0.1:20001=dashboard [::]:20002", "http://[::1]:20002/");
        check("10.0.0.1:20001=dashboard|streaming", "http://10.0.0.1:20001/");
    }
}
