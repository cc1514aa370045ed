//! The names of files.

use crate::domain::{Code, Problem};

/// The most bytes of UTF-8 in a name.
const MAX_BYTES: usize = 255;

/// The name that the uploader gave to a file: 1 to 255 bytes of UTF-8 without NUL. It may look like
/// a path, or contain quotes and line breaks. Therefore it is never used as a path, and it is
/// encoded in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    pub fn parse(name: impl Into<String>) -> Result<FileName, Problem> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_BYTES || name.contains('\0') {
            return Err(FileName::invalid());
        }
        Ok(FileName(name))
    }

    /// The error for an invalid name.
    pub fn invalid() -> Problem {
        let text = "A file's name is 1 to 255 bytes of UTF-8 without NUL.";
        Problem::new(Code::FileNameInvalid, text)
            .field("name")
            .limit(MAX_BYTES as u64)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_of_1_to_255_bytes_without_nul_is_a_name() {
        let longest = "x".repeat(255);
        let wide = "日".repeat(85);
        for good in [
            "../../x",
            "a\"b\r\nc",
            "日本.txt",
            " ",
            ".",
            &longest,
            &wide,
        ] {
            assert_eq!(FileName::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "a\0b", &"x".repeat(256), &"日".repeat(86)] {
            let problem = FileName::parse(bad).expect_err(bad);
            assert_eq!(
                (problem.code, problem.limit),
                (Code::FileNameInvalid, Some(255))
            );
        }
    }
}
