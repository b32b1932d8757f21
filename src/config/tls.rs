//! What is configured of TLS: `[web] ssl key`, `ssl certificate`, `tls version`, `tls ciphers`, and `[tls]` of
//! mainstem.toml. Names and wishes; whether the files are good is for `connection::certificate` to say.

use std::path::PathBuf;

use super::value::Reading;

/// What netdata.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `None`: switched off by an empty value.
    pub key: Option<PathBuf>,
    /// The chain, our own certificate first. `None`: switched off by an empty value.
    pub certificate: Option<PathBuf>,
    /// One of both is named: without TLS the parent is not to run. Files that are only looked for where they might be are
    /// used when both are there.
    pub is_required: bool,
    pub newest_version: TlsVersion,
    /// Of TLS 1.2; those of 1.3 are always offered, as OpenSSL does.
    pub ciphers: Vec<Cipher>,
}

/// What mainstem.toml says: certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Who signs them; there unless `demand` is off.
    pub ca: Option<PathBuf>,
    pub demand: Demand,
}

/// Whether clients that speak TLS show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// They are not asked.
    Off,
    /// They are asked; one that is shown must be good.
    Optional,
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

impl TlsVersion {
    /// The *highest* version, as in Netdata. Older ones than 1.2 are broken (RFC 8996) and not spoken.
    pub(crate) fn read(text: &str) -> Reading<TlsVersion> {
        match text {
            "1.3" => Reading::clean(TlsVersion::V1_3),
            "1.2" => Reading::clean(TlsVersion::V1_2),
            "1" | "1.0" | "1.1" => Reading::odd(
                TlsVersion::V1_2,
                format!("TLS {text} is not spoken; 1.2 is the oldest version here, and is used"),
            ),
            _ => Reading::unusable(format!("there is no TLS version `{text}`; write `1.3` or `1.2`")),
        }
    }
}

/// A cipher suite of TLS 1.2: those with forward secrecy and authenticated encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    EcdsaAes256Gcm,
    EcdsaAes128Gcm,
    EcdsaChaCha20,
    RsaAes256Gcm,
    RsaAes128Gcm,
    RsaChaCha20,
}

impl Cipher {
    /// By their names in OpenSSL, in which `tls ciphers` is written.
    const NAMES: [(&'static str, Cipher); 6] = [
        ("ECDHE-ECDSA-AES256-GCM-SHA384", Cipher::EcdsaAes256Gcm),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", Cipher::EcdsaAes128Gcm),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", Cipher::EcdsaChaCha20),
        ("ECDHE-RSA-AES256-GCM-SHA384", Cipher::RsaAes256Gcm),
        ("ECDHE-RSA-AES128-GCM-SHA256", Cipher::RsaAes128Gcm),
        ("ECDHE-RSA-CHACHA20-POLY1305", Cipher::RsaChaCha20),
    ];

    pub fn all() -> Vec<Cipher> {
        Self::NAMES.iter().map(|&(_, cipher)| cipher).collect()
    }

    fn from_name(name: &str) -> Option<Cipher> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, cipher)| cipher)
    }

    /// An OpenSSL list: names of suites, those with `!` in front taken away; `ALL`, `DEFAULT` and `HIGH` have all of ours.
    /// `none` is the default.
    pub(crate) fn read_list(text: &str) -> Reading<Vec<Cipher>> {
        const GROUPS: [&str; 3] = ["ALL", "DEFAULT", "HIGH"];
        if matches!(text, "" | "none") {
            return Reading::clean(Self::all());
        }
        let mut chosen = Vec::new();
        let mut excluded = Vec::new();
        let mut unknown = Vec::new();
        for word in text.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
            let (name, excludes) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
            match Self::from_name(name) {
                Some(cipher) if excludes => excluded.push(cipher),
                Some(cipher) if chosen.contains(&cipher) => {}
                Some(cipher) => chosen.push(cipher),
                None if !excludes && GROUPS.contains(&name) => {
                    chosen.extend(
                        Self::all().into_iter().filter(|cipher| !chosen.contains(cipher)).collect::<Vec<_>>(),
                    );
                }
                None if excludes && NEVER_SPOKEN.contains(&name) => {}
                None => unknown.push(word),
            }
        }
        chosen.retain(|cipher| !excluded.contains(cipher));
        let spoken = "TLS 1.2 has the ECDHE suites with AES-GCM and ChaCha20 here, by their OpenSSL names \
                      (`ECDHE-RSA-AES128-GCM-SHA256`), TLS 1.3 always has all of its own";
        if chosen.is_empty() {
            return Reading::unusable(format!("`{text}` leaves no cipher suite; {spoken}"));
        }
        match unknown.first() {
            None => Reading::clean(chosen),
            Some(word) => Reading::odd(chosen, format!("`{word}` is ignored; {spoken}")),
        }
    }
}

/// What lists exclude for safety's sake, and nobody offers here.
const NEVER_SPOKEN: [&str; 20] = [
    "aNULL", "eNULL", "NULL", "EXP", "EXPORT", "LOW", "MEDIUM", "MD5", "SHA1", "SHA", "RC2", "RC4", "DES",
    "3DES", "SEED", "IDEA", "CAMELLIA", "PSK", "SRP", "DSS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_openssl_are_mapped_or_complained_about() {
        #[track_caller]
        fn check(text: &str, expected: Option<&[Cipher]>, complaint: Option<&str>) {
            let reading = Cipher::read_list(text);
            assert_eq!(reading.value.as_deref(), expected, "{text:?}");
            match (&reading.complaint, complaint) {
                (None, None) => {}
                (Some((_, said)), Some(expected)) => assert!(said.contains(expected), "{text:?}: {said}"),
                (said, _) => panic!("{text:?}: {said:?}"),
            }
        }
        let all = Cipher::all();
        let two = [Cipher::RsaAes128Gcm, Cipher::EcdsaAes128Gcm];
        check("none", Some(&all), None);
        check("", Some(&all), None);
        check("HIGH:!aNULL:!MD5", Some(&all), None);
        check("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", Some(&two), None);
        check("ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-GCM-SHA256", Some(&two), None);
        check("DEFAULT:!ECDHE-RSA-CHACHA20-POLY1305", Some(&all[..5]), None);
        check("ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA", Some(&two[..1]), Some("`AES256-SHA` is ignored"));
        check("HIGH:!AESGCM", Some(&all), Some("`!AESGCM` is ignored"));
        check("AES256-SHA", None, Some("leaves no cipher suite"));
        check("TLS_AES_128_GCM_SHA256", None, Some("TLS 1.3 always has all of its own"));
    }

    #[test]
    fn versions_below_1_2_are_not_spoken() {
        assert_eq!(TlsVersion::read("1.3"), Reading::clean(TlsVersion::V1_3));
        assert_eq!(TlsVersion::read("1.2"), Reading::clean(TlsVersion::V1_2));
        assert_eq!(TlsVersion::read("1.1").value, Some(TlsVersion::V1_2));
        assert!(TlsVersion::read("1.1").complaint.is_some());
        let unknown = TlsVersion::read("tls1.3");
        assert!(unknown.value.is_none() && unknown.complaint.is_some());
    }
}
