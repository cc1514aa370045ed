//! What counts as an emoji.

use icu_properties::CodePointSetData;
use icu_properties::props::{Emoji, EmojiModifier, RegionalIndicator};

use crate::domain::{Code, Problem};

/// The longest emoji, in bytes of UTF-8. Those in use have at most 35.
const MAX_BYTES: usize = 64;

const JOINER: char = '\u{200d}';
const AS_EMOJI: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const TAGS: std::ops::RangeInclusive<char> = '\u{e0020}'..='\u{e007e}';
const END_OF_TAGS: char = '\u{e007f}';

/// Parses a reaction: one emoji, as Unicode's UTS #51 lets them be composed. Whether a font has it is
/// another question, so a server need not know the emoji of later years.
pub fn emoji(text: &str) -> Result<String, Problem> {
    if text.len() <= MAX_BYTES && is_emoji(text) {
        return Ok(text.to_owned());
    }
    let text = "emoji must be one emoji of Unicode.";
    Err(Problem::new(Code::EmojiInvalid, text).field("emoji"))
}

fn is_emoji(text: &str) -> bool {
    let mut parts = text.split(JOINER);
    parts.all(|part| is_flag(part) || is_element(part))
}

/// A country's flag: two of the letters that flags are written with.
fn is_flag(part: &str) -> bool {
    let letters = CodePointSetData::new::<RegionalIndicator>();
    part.chars().count() == 2 && part.chars().all(|c| letters.contains(c))
}

/// An emoji with at most one modification: a skin, the look of an emoji, a keycap, the tags of a region.
fn is_element(part: &str) -> bool {
    let mut rest = part.chars();
    let Some(base) = rest.next() else {
        return false;
    };
    let letters = CodePointSetData::new::<RegionalIndicator>();
    if !CodePointSetData::new::<Emoji>().contains(base) || letters.contains(base) {
        return false;
    }
    let rest: Vec<char> = rest.collect();
    let skins = CodePointSetData::new::<EmojiModifier>();
    let is_keycap = matches!(rest[..], [AS_EMOJI, KEYCAP] | [KEYCAP]);
    if base.is_ascii() {
        // Digits, # and *, which are no emoji alone.
        return is_keycap;
    }
    match &rest[..] {
        [] | [AS_EMOJI] => true,
        [skin] => skins.contains(*skin),
        [tags @ .., END_OF_TAGS] => !tags.is_empty() && tags.iter().all(|c| TAGS.contains(c)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_accepted_however_it_is_composed() {
        for good in ["👍", "👍🏽", "❤", "❤️", "👩‍💻", "👩🏻‍❤️‍💋‍👩🏾", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "🏳️‍🌈"]
        {
            assert_eq!(emoji(good).expect(good), good);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "👩\u{200d}".repeat(20) + "👩";
        for bad in [
            "",
            "a",
            "1",
            "👍👍",
            "👍 ",
            "🇫",
            "🇫🇷🇫",
            "\u{200d}",
            "👍\u{200d}",
            &long,
        ] {
            assert_eq!(emoji(bad).expect_err(bad).code, Code::EmojiInvalid);
        }
    }
}
