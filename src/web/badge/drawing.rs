//! Label and value as a picture: two rounded rectangles, 20 pixels high at a scale of 100 %.

use std::fmt;

use super::super::answer::escape_html;
use super::colour::Colour;

const HEIGHT: f64 = 20.0;
const FONT_SIZE: f64 = 11.0;
/// Of both sides of a text together.
const PADDING: f64 = 9.0;
/// Longer texts would make pictures that no page has room for.
const MOST_CHARACTERS: usize = 200;
const SCALES: std::ops::RangeInclusive<i64> = 10..=1000;
const MOST_WIDTH: i64 = 4000;

/// How far the characters from space to tilde advance in Verdana, of an em of 2048: the font's own metrics, with which browsers
/// that have it lay the text out.
#[rustfmt::skip]
const ADVANCES: [u16; 95] = [
    720, 806, 940, 1676, 1302, 2204, 1487, 550, 930, 930, 1302, 1676, 745, 930, 745, 930,
    1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 930, 930, 1676, 1676, 1676, 1117,
    2048, 1400, 1404, 1430, 1578, 1295, 1177, 1588, 1539, 862, 931, 1419, 1140, 1726, 1532, 1612,
    1235, 1612, 1424, 1400, 1262, 1499, 1400, 2025, 1403, 1260, 1403, 930, 930, 930, 1676, 1302,
    1302, 1230, 1276, 1067, 1276, 1220, 720, 1276, 1296, 562, 705, 1212, 562, 1992, 1296, 1243,
    1276, 1276, 874, 1067, 807, 1296, 1212, 1676, 1212, 1212, 1076, 1300, 930, 1300, 1676,
];
const EM: f64 = 2048.0;
/// Of characters that are not in the table: as wide as the widest digit.
const OTHER_ADVANCE: u16 = 1302;

/// A picture to be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Badge<'a> {
    pub(super) label: &'a str,
    pub(super) value: &'a str,
    pub(super) label_colour: Colour<'a>,
    pub(super) value_colour: Colour<'a>,
    pub(super) label_text: Colour<'a>,
    pub(super) value_text: Colour<'a>,
    pub(super) scale_percent: i64,
    /// Pixels of label and value; as wide as their texts when not given.
    pub(super) widths: Option<(i64, i64)>,
}

/// Between two characters: browsers round each advance, and a text that is cut is worse than a wide one.
const SPACING: f64 = 0.2;

/// Pixels that a text takes.
fn width_of(text: &str) -> f64 {
    let advance = |character: char| {
        let place = (u32::from(character) as usize).checked_sub(usize::from(b' '));
        place.and_then(|place| ADVANCES.get(place)).copied().unwrap_or(OTHER_ADVANCE)
    };
    let gaps = text.chars().count().saturating_sub(1) as f64 * SPACING;
    text.chars().map(|character| f64::from(advance(character))).sum::<f64>() * FONT_SIZE / EM + gaps
}

/// Safe inside an element, and no longer than a picture can be.
fn text_of(text: &str) -> String {
    let cut: String = text.chars().take(MOST_CHARACTERS).collect();
    escape_html(&cut)
}

impl fmt::Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = self.scale_percent.clamp(*SCALES.start(), *SCALES.end()) as f64 / 100.0;
        let natural = |text: &str| {
            let cut: String = text.chars().take(MOST_CHARACTERS).collect();
            width_of(&cut) + PADDING
        };
        let (label, value) = match self.widths {
            Some((label, value)) => (label.min(MOST_WIDTH) as f64, value.min(MOST_WIDTH) as f64),
            None => (natural(self.label), natural(self.value)),
        };
        let (label, value) = (label * scale, value * scale);
        let (total, height, size) = (label + value, HEIGHT * scale, FONT_SIZE * scale);
        let (radius, base) = (3.0 * scale, 14.0 * scale);
        write!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total:.2}\" height=\"{height:.2}\">\
             <linearGradient id=\"shade\" x2=\"0\" y2=\"100%\"><stop offset=\"0\" stop-color=\"#bbb\" stop-opacity=\".1\"/>\
             <stop offset=\"1\" stop-opacity=\".1\"/></linearGradient>\
             <mask id=\"corners\"><rect class=\"bdge-ttl-width\" width=\"{total:.2}\" height=\"{height:.2}\" \
             rx=\"{radius:.2}\" fill=\"#fff\"/></mask><g mask=\"url(#corners)\">\
             <rect class=\"bdge-rect-lbl\" width=\"{label:.2}\" height=\"{height:.2}\" fill=\"{}\"/>\
             <rect class=\"bdge-rect-val\" x=\"{label:.2}\" width=\"{value:.2}\" height=\"{height:.2}\" fill=\"{}\"/>\
             <rect class=\"bdge-ttl-width\" width=\"{total:.2}\" height=\"{height:.2}\" fill=\"url(#shade)\"/></g>\
             <g text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,Geneva,sans-serif\" font-size=\"{size:.2}\">",
            self.label_colour, self.value_colour,
        )?;
        for (class, text, centre, colour) in [
            ("bdge-lbl-lbl", self.label, label / 2.0, self.label_text),
            ("bdge-lbl-val", self.value, label + value / 2.0, self.value_text),
        ] {
            let text = text_of(text);
            // Its shadow first, a pixel lower.
            write!(
                f,
                "<text class=\"{class}\" x=\"{centre:.2}\" y=\"{:.2}\" fill=\"#010101\" fill-opacity=\".3\">{text}</text>\
                 <text class=\"{class}\" x=\"{centre:.2}\" y=\"{base:.2}\" fill=\"{colour}\">{text}</text>",
                base + scale,
            )?;
        }
        f.write_str("</g></svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Badge<'static> = Badge {
        label: "a",
        value: "4.5 things",
        label_colour: Colour::LABEL,
        value_colour: Colour::UNKNOWN,
        label_text: Colour::WHITE,
        value_text: Colour::WHITE,
        scale_percent: 100,
        widths: None,
    };

    /// What a 1.37.1 measures, to a tenth of a pixel: golden samples 119 and 121.
    #[test]
    fn texts_are_as_wide_as_their_font_makes_them() {
        let check = |text: &str, expected: f64| {
            let found = width_of(text) + PADDING;
            assert!((found - expected).abs() < 0.1, "{text}: {found}, not {expected}");
        };
        check("a", 15.61);
        check("4.5 things", 66.51);
        check("chart not found", 97.15);
        check("-", 14.0);
        check("synth high", 68.96);
    }

    #[test]
    fn a_picture_is_scaled_and_may_have_fixed_widths() {
        let text = PLAIN.to_string();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>"));
        assert!(text.contains("width=\"82.1") && text.contains("height=\"20.00\""), "{text}");
        let large = Badge { scale_percent: 200, widths: Some((30, 50)), ..PLAIN }.to_string();
        assert!(large.contains("width=\"160.00\" height=\"40.00\""), "{large}");
        let huge = Badge { scale_percent: i64::MAX, widths: Some((i64::MAX, 1)), ..PLAIN }.to_string();
        assert!(huge.contains("height=\"200.00\""), "{huge}");
    }

    #[test]
    fn no_text_is_taken_for_a_tag() {
        let label = "<script>alert('1')</script>&\"".repeat(50);
        let text = Badge { label: &label, ..PLAIN }.to_string();
        assert!(!text.contains("<script") && !text.contains("alert('"), "{text}");
        assert!(text.len() < 8000, "{}", text.len());
    }
}
