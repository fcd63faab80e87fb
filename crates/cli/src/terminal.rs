//! Text on its way to a terminal.

use std::fmt::{Display, Write};

/// The text without characters that a terminal obeys: names in files may hold any. Line breaks and tabs stay.
pub(crate) fn plain(text: impl Display) -> String {
    let text = text.to_string();
    let obeyed = |character: char| match character {
        '\n' | '\t' => false,
        // Widths of zero, and directions of writing, in which names look like others.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        other => other.is_control(),
    };
    if !text.contains(obeyed) {
        return text;
    }
    text.chars().fold(String::new(), |mut plain, character| {
        if obeyed(character) {
            write!(plain, "{}", character.escape_unicode()).expect("a String takes everything");
        } else {
            plain.push(character);
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_codes_are_shown_and_not_obeyed() {
        assert_eq!(plain("größer\n\tok"), "größer\n\tok");
        assert_eq!(
            plain("\u{1b}]0;pwned\u{7}\u{1b}[31m\u{9b}1m\r"),
            "\\u{1b}]0;pwned\\u{7}\\u{1b}[31m\\u{9b}1m\\u{d}"
        );
        assert_eq!(plain("a\u{202e}fdp.exe\u{200b}"), "a\\u{202e}fdp.exe\\u{200b}");
    }
}
