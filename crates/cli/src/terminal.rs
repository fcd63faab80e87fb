//! Text on its way to a terminal.

use std::fmt::{Display, Write};

/// The text without characters that a terminal obeys: names in files may hold any. Line breaks and tabs stay.
pub(crate) fn plain(text: impl Display) -> String {
    let text = text.to_string();
    let obeyed = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(obeyed) {
        return text;
    }
    text.chars().fold(String::new(), |mut plain, character| {
        if obeyed(character) {
            write!(plain, "{}", character.escape_debug()).expect("a String takes everything");
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
            "\\u{1b}]0;pwned\\u{7}\\u{1b}[31m\\u{9b}1m\\r"
        );
    }
}
