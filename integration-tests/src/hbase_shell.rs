//! What the HBase shell prints, taken apart.

/// A statement, with the lines that answer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub typed: String,
    pub answer: Vec<String>,
}

/// A cell of a scan's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub row: Vec<u8>,
    pub column: String,
    pub value: Vec<u8>,
}

/// The statements that were run, each behind its prompt (`hbase:001:0> `), and what came of them; not
/// how long they took.
pub fn steps(printed: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in printed.lines() {
        let prompt = line.strip_prefix("hbase:").and_then(|l| l.split_once("> "));
        match (prompt, steps.last_mut()) {
            (Some((_, typed)), _) => steps.push(Step {
                typed: typed.to_owned(),
                answer: Vec::new(),
            }),
            (None, Some(step)) if !line.starts_with("Took ") => step.answer.push(line.to_owned()),
            (None, _) => {}
        }
    }
    steps.retain(|step| !step.typed.is_empty());
    steps
}

impl Step {
    /// The cells of a scan, a line each: ` row column=m:text, timestamp=…, value=…`.
    pub fn cells(&self) -> Vec<Cell> {
        self.answer.iter().filter_map(|line| cell(line)).collect()
    }
}

fn cell(line: &str) -> Option<Cell> {
    let (row, rest) = line.strip_prefix(' ')?.split_once(" column=")?;
    let (column, rest) = rest.split_once(", timestamp=")?;
    let (_, value) = rest.split_once(", value=")?;
    Some(Cell {
        row: bytes(row),
        column: column.to_owned(),
        value: bytes(value),
    })
}

/// Bytes as the shell shows them: all that isn't printable ASCII, and `\` too, as `\x5C`.
fn bytes(shown: &str) -> Vec<u8> {
    let mut pieces = shown.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_statement_by_statement() {
        let printed = "hbase:001:0> count 'x'\n2 row(s)\nTook 0.1 seconds\n=> 2\nhbase:002:0> \n";
        let steps = steps(printed);
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].typed, "count 'x'");
        assert_eq!(steps[0].answer, ["2 row(s)", "=> 2"]);
    }

    #[test]
    fn cell_is_read_to_the_byte() {
        let line =
            " e8ops\\x0042 column=m:text, timestamp=2026-11-24T14:00, value=l\\xC3\\xA4\\x5C, x";
        let read = cell(line).expect("a cell");
        assert_eq!(read.row, b"e8ops\x0042");
        assert_eq!(read.column, "m:text");
        assert_eq!(read.value, "lä\\, x".as_bytes());
    }
}
