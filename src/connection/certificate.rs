//! [`Certificate`]: what a parent shows to those who speak TLS, read from files and checked as far as that is possible
//! without a client. Each error says which file, what about it, and what to do.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Key,
    Certificate,
    ClientCa,
}

impl Role {
    /// Where the file is named.
    fn option(self) -> &'static str {
        match self {
            Role::Key => "'[web] ssl key' in netdata.conf",
            Role::Certificate => "'[web] ssl certificate' in netdata.conf",
            Role::ClientCa => "'[tls] client_ca' in mainstem.toml",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Role::Key => "TLS key",
            Role::Certificate => "TLS certificate",
            Role::ClientCa => "CA of the clients' certificates",
        })
    }
}

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{} is set and {} is switched off: TLS needs both", .set.option(), .missing.option())]
    Half { set: Role, missing: Role },
    #[error(
        "the {role} {} cannot be read: {cause}; make it readable for the user that runs mainstem, or correct {}",
        .path.display(), .role.option()
    )]
    Unreadable { role: Role, path: PathBuf, cause: io::Error },
    #[error(
        "the file {} holds no {}: correct {}, or write the file in PEM form (`-----BEGIN ...-----`)",
        .path.display(), if *.role == Role::Key { "private key" } else { "certificate" }, .role.option()
    )]
    Empty { role: Role, path: PathBuf },
    #[error("the {role} {} is damaged: {cause}; write the file anew, see {}", .path.display(), .role.option())]
    Damaged { role: Role, path: PathBuf, cause: pem::Error },
    #[error(
        "the TLS key {} is encrypted with a passphrase, which nobody could type: write it without one \
         (`openssl pkey -in OLD -out NEW`) and keep it readable for the user that runs mainstem alone",
        .path.display()
    )]
    EncryptedKey { path: PathBuf },
    #[error(
        "the TLS key {} cannot be used: {cause}; RSA keys of 2048 bits or more, ECDSA keys on P-256 or P-384 and Ed25519 \
         keys can",
        .path.display()
    )]
    UnusableKey { path: PathBuf, cause: rustls::Error },
    #[error("the {role} {} cannot be used: {cause}; see {}", .path.display(), .role.option())]
    UnusableCertificate { role: Role, path: PathBuf, cause: rustls::Error },
    #[error(
        "the TLS key {} does not belong to the first certificate in {}: our own certificate comes first there, those of \
         its authorities behind it",
        .key.display(), .certificate.display()
    )]
    Mismatch { key: PathBuf, certificate: PathBuf },
}

/// A certificate's chain and its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: CertifiedKey,
    pub validity: Validity,
    /// Where the chain was read.
    pub path: PathBuf,
}

/// When a whole chain is good, unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub first: i64,
    pub last: i64,
}

impl Certificate {
    pub(super) fn read(
        certificate: &Path,
        key: &Path,
        provider: &rustls::crypto::CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let chain = certificates(Role::Certificate, certificate)?;
        let damaged = |cause| CertificateError::UnusableCertificate {
            role: Role::Certificate,
            path: certificate.into(),
            cause,
        };
        let mut validity = Validity { first: i64::MIN, last: i64::MAX };
        for der in &chain {
            let of_this = Validity::of(der).ok_or_else(|| {
                damaged(rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))
            })?;
            validity.first = validity.first.max(of_this.first);
            validity.last = validity.last.min(of_this.last);
        }
        let text = read(Role::Key, key)?;
        let private = match PrivateKeyDer::from_pem_slice(&text) {
            Ok(private) => private,
            // A key in the older of both forms says so in a header, which is no base64.
            Err(_) if is_encrypted(&text) => {
                return Err(CertificateError::EncryptedKey { path: key.into() });
            }
            Err(pem::Error::NoItemsFound) => {
                return Err(CertificateError::Empty { role: Role::Key, path: key.into() });
            }
            Err(cause) => {
                return Err(CertificateError::Damaged { role: Role::Key, path: key.into(), cause });
            }
        };
        let private = provider
            .key_provider
            .load_private_key(private)
            .map_err(|cause| CertificateError::UnusableKey { path: key.into(), cause })?;
        let certified = CertifiedKey::new(chain, private);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch { key: key.into(), certificate: certificate.into() });
            }
            Err(cause) => return Err(damaged(cause)),
        }
        Ok(Self { key: certified, validity, path: certificate.into() })
    }
}

/// Those who sign the certificates of clients.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for der in certificates(Role::ClientCa, path)? {
        roots.add(der).map_err(|cause| CertificateError::UnusableCertificate {
            role: Role::ClientCa,
            path: path.into(),
            cause,
        })?;
    }
    Ok(roots)
}

/// All certificates of a file; at least one.
fn certificates(role: Role, path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found = CertificateDer::pem_slice_iter(&read(role, path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| CertificateError::Damaged { role, path: path.into(), cause })?;
    if found.is_empty() {
        return Err(CertificateError::Empty { role, path: path.into() });
    }
    Ok(found)
}

fn read(role: Role, path: &Path) -> Result<Vec<u8>, CertificateError> {
    /// A chain has some KiB.
    const MOST_BYTES: u64 = 16 << 20;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|cause| CertificateError::Unreadable { role, path: path.into(), cause })?;
    Ok(bytes)
}

/// `-----BEGIN ENCRYPTED PRIVATE KEY-----`, or `Proc-Type: 4,ENCRYPTED` behind the first line.
fn is_encrypted(pem: &[u8]) -> bool {
    memchr::memmem::find(pem, b"ENCRYPTED").is_some()
}

impl Validity {
    /// The times of one certificate; the way to them is all that is read of it.
    ///
    /// ```text
    /// Certificate    ::= SEQUENCE { TBSCertificate, signature .. }
    /// TBSCertificate ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer, Validity, .. }
    /// Validity       ::= SEQUENCE { notBefore Time, notAfter Time }
    /// ```
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        const VERSION: u8 = 0xA0;
        let mut fields = Element::read(certificate)?.within(SEQUENCE)?.within(SEQUENCE)?;
        if fields.tag == VERSION {
            fields = fields.next()?;
        }
        let first = fields.next()?.next()?.next()?.within(SEQUENCE)?;
        let last = first.next()?;
        Some(Self { first: first.time()?, last: last.time()? })
    }
}

/// One element of DER, and what stands behind it in the same sequence.
#[derive(Clone, Copy, Debug)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, bytes) = bytes.split_first()?;
        let (&short, bytes) = bytes.split_first()?;
        let (length, bytes) = match short {
            0..=0x7F => (usize::from(short), bytes),
            // So many bytes of the length follow; three are 16 MiB.
            0x81..=0x83 => {
                let (length, bytes) = bytes.split_at_checked(usize::from(short & 0x7F))?;
                (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), bytes)
            }
            _ => return None,
        };
        let (content, rest) = bytes.split_at_checked(length)?;
        Some(Self { tag, content, rest })
    }

    /// The first element in this one, which has this tag.
    fn within(self, tag: u8) -> Option<Self> {
        if self.tag == tag { Self::read(self.content) } else { None }
    }

    fn next(self) -> Option<Self> {
        Self::read(self.rest)
    }

    /// `YYMMDDHHMMSSZ`, years from 1950 to 2049, or `YYYYMMDDHHMMSSZ` (RFC 5280, 4.1.2.5).
    fn time(self) -> Option<i64> {
        const UTC_TIME: u8 = 0x17;
        const GENERALIZED_TIME: u8 = 0x18;
        let text = std::str::from_utf8(self.content).ok()?;
        let text = match self.tag {
            UTC_TIME if text.as_bytes().first()? < &b'5' => format!("20{text}"),
            UTC_TIME => format!("19{text}"),
            GENERALIZED_TIME => text.to_owned(),
            _ => return None,
        };
        let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
        Some(jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?.as_second())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    /// A file in a directory of the test's own.
    pub(crate) fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn read_both(certificate: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        Certificate::read(certificate, key, &rustls::crypto::ring::default_provider())
    }

    #[test]
    fn a_chain_is_good_as_long_as_all_of_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(1999, 12, 31);
        params.not_after = date_time_ymd(2049, 6, 7);
        let authority_key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&authority_key).expect("signed");
        let issuer = Issuer::new(params, authority_key);
        let mut params = CertificateParams::new(vec!["parent".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 2);
        params.not_after = date_time_ymd(2051, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("signed");

        let chain = format!("{}{}", certificate.pem(), authority.pem());
        let chain = written(directory.path(), "chain.pem", &chain);
        let key_file = written(directory.path(), "key.pem", &key.serialize_pem());
        let validity = read_both(&chain, &key_file).expect("good").validity;
        let second = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_second();
        let expected =
            Validity { first: second("2020-01-02T00:00:00Z"), last: second("2049-06-07T00:00:00Z") };
        assert_eq!(validity, expected);

        let alone = written(directory.path(), "alone.pem", &certificate.pem());
        let validity = read_both(&alone, &key_file).expect("good").validity;
        assert_eq!(validity.last, second("2051-01-01T00:00:00Z"));

        let reversed = format!("{}{}", authority.pem(), certificate.pem());
        let reversed = written(directory.path(), "reversed.pem", &reversed);
        assert!(matches!(read_both(&reversed, &key_file), Err(CertificateError::Mismatch { .. })));
    }

    #[test]
    fn a_certificate_that_was_cut_or_changed_has_no_time_or_another_one() {
        let made = rcgen::generate_simple_self_signed(vec!["parent".to_owned()]).expect("made");
        let whole = made.cert.der().to_vec();
        assert!(Validity::of(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length} bytes");
        }
        // Whatever becomes of it, it is read to no end but its own.
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x7F, 0x80, 0x83, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = Validity::of(&changed);
            }
        }
    }

    #[test]
    fn every_error_names_its_file_and_a_cure() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str, text: &str| written(directory.path(), name, text);
        let made = rcgen::generate_simple_self_signed(vec!["parent".to_owned()]).expect("made");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let good_certificate = at("cert.pem", &certificate);
        let good_key = at("key.pem", &key);
        let other_key = at("other.pem", &KeyPair::generate().expect("a key").serialize_pem());
        let missing = directory.path().join("nowhere.pem");
        let text = at("text.pem", "nothing of interest\n");
        let damaged = at("damaged.pem", &certificate.replace("MII", "M!I"));
        let damaged_key = at("damaged-key.pem", &key.replace("MI", "M!"));
        let cut = at("cut.pem", "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n");
        let nonsense_key =
            at("nonsense.pem", "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n");
        let encrypted = at("encrypted.pem", &key.replace("PRIVATE", "ENCRYPTED PRIVATE"));
        let cases = [
            (&missing, &good_key, "TLS certificate", "nowhere.pem cannot be read: No such file"),
            (&good_certificate, &missing, "TLS key", "correct '[web] ssl key' in netdata.conf"),
            (&text, &good_key, "text.pem holds no certificate", "'[web] ssl certificate'"),
            (&good_certificate, &text, "text.pem holds no private key", "PEM form"),
            (&good_key, &good_key, "key.pem holds no certificate", "'[web] ssl certificate'"),
            (&damaged, &good_key, "damaged.pem is damaged", "write the file anew"),
            (&good_certificate, &damaged_key, "damaged-key.pem is damaged", "write the file anew"),
            (&cut, &good_key, "cut.pem cannot be used", "'[web] ssl certificate'"),
            (&good_certificate, &nonsense_key, "nonsense.pem cannot be used", "ECDSA keys on P-256"),
            (&good_certificate, &encrypted, "encrypted.pem is encrypted", "openssl pkey"),
            (&good_certificate, &other_key, "other.pem does not belong to", "cert.pem"),
        ];
        for (certificate, key, what, cure) in cases {
            let error = read_both(certificate, key).map(|_| ()).expect_err(what).to_string();
            assert!(error.contains(what) && error.contains(cure), "{what} ... {cure}: {error}");
        }
        assert!(authorities(&good_certificate).is_ok());
        let error = authorities(&text).map(|_| ()).expect_err("no certificate").to_string();
        assert!(error.contains("'[tls] client_ca' in mainstem.toml"), "{error}");
    }
}
