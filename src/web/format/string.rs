//! Strings where something else would take parts of them for its own.

/// Adds a string of JSON, quotes included. It is a string of JavaScript too, also inside a page.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_json_escaped(text, out);
    out.push(b'"');
}

/// The inside of a string of JSON.
pub(crate) fn write_json_escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 | 0x7f => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if short != 0 {
            out.extend_from_slice(&[b'\\', short]);
        } else {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// The text of an HTML element.
pub(super) fn write_html_escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            other => out.push(other),
        }
    }
}

/// A field of comma separated values, in quotes if it has to be.
pub(crate) fn write_csv_field(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_read_back_as_they_were() {
        for text in ["", "plain", "a \"quoted\" \\ name", "line\r\n\ttab \u{1}\u{7f}", "größe ☃"] {
            let mut out = Vec::new();
            write_json_string(text, &mut out);
            let read: String = serde_json::from_slice(&out).expect("a string");
            assert_eq!(read, text);
        }
    }

    #[test]
    fn fields_are_quoted_when_they_must() {
        let check = |text: &str, expected: &str| {
            let mut out = Vec::new();
            write_csv_field(text, &mut out);
            assert_eq!(String::from_utf8(out).expect("as it came"), expected);
        };
        check("plain name", "plain name");
        check("a,b", "\"a,b\"");
        check("5\" disk", "\"5\"\" disk\"");
    }
}
