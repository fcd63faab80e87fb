//! Characters of names, titles and paths that come from files: none may break a page, a drawing or a table.

use serde_json::Value;
use std::borrow::Cow;

/// First of the pictures that Unicode has for the control characters U+0000 to U+001F.
const PICTURES: u32 = 0x2400;
const PICTURE_OF_DELETE: char = '\u{2421}';
/// How these begin, a spreadsheet runs.
const RUN_BY_SPREADSHEETS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// The text with a visible sign for each character that XML forbids or a terminal obeys; tabs and line breaks
/// stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| sign(c) == c) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(sign).collect())
}

fn sign(c: char) -> char {
    match c {
        '\t' | '\n' => c,
        '\0'..='\u{1f}' => char::from_u32(PICTURES + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => PICTURE_OF_DELETE,
        '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// The value with all its texts and names [`visible`].
pub(crate) fn visible_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&text).into_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(visible_json).collect()),
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(k, v)| (visible(&k).into_owned(), visible_json(v))).collect())
        }
        number => number,
    }
}

/// Text that a spreadsheet shows and does not run: what it would take for a formula begins with `'`.
pub(crate) fn no_formula(text: &str) -> Cow<'_, str> {
    if text.starts_with(RUN_BY_SPREADSHEETS) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn control_characters_are_seen() {
        let text = "a\0\u{1}\u{1b}[31m\r\u{7f}\u{9b}\u{fffe}\u{ffff}\t\n\u{e9}\u{2400}";
        let seen = "a\u{2400}\u{2401}\u{241b}[31m\u{240d}\u{2421}\u{fffd}\u{fffd}\u{fffd}\t\n\u{e9}\u{2400}";
        assert_eq!(visible(text), seen);
        assert!(matches!(visible("P(k) √\n\t"), Cow::Borrowed(_)));
        let json = visible_json(json!({"\u{1}": ["\u{7f}", 1.5, null, {"x": "\r"}]}));
        assert_eq!(json, json!({"\u{2401}": ["\u{2421}", 1.5, null, {"x": "\u{240d}"}]}));
    }

    #[test]
    fn formulas_are_text() {
        for text in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=x"] {
            assert_eq!(no_formula(text), format!("'{text}"));
        }
        for text in ["", "truth", "a=b", "'=x", "1-2"] {
            assert_eq!(no_formula(text), text);
        }
    }
}
