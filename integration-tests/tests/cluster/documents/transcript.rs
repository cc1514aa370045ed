//! What is typed and what comes back, as a document shows it in its fences.

use std::path::Path;

use integration_tests::hbase_shell::Step;

/// How a line begins that a person types into the HBase shell, as documents show it.
const STATEMENT: &str = "hbase> ";
/// The same of the system's shell.
const COMMAND: &str = "$ ";
/// Ends what a command is given to read.
const END: &str = "END";

/// The examples of a document of this project, those of the HBase shell and those of the system's.
pub struct Examples {
    pub statements: Vec<Step>,
    pub commands: Vec<Step>,
}

impl Examples {
    pub fn of(document: &str) -> Examples {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(document);
        let text = std::fs::read_to_string(path).expect("a document");
        let mut examples = Examples {
            statements: Vec::new(),
            commands: Vec::new(),
        };
        for (at, fence) in text.split("\n```").enumerate() {
            // Every other piece lies between two fences; its first line names the language.
            if at % 2 == 1 {
                let (_, lines) = fence.split_once('\n').unwrap_or_default();
                examples.read(lines);
            }
        }
        examples
    }

    fn read(&mut self, fence: &str) {
        let mut lines = fence.lines().peekable();
        while let Some(line) = lines.next() {
            let (steps, mut typed) = if let Some(typed) = line.strip_prefix(STATEMENT) {
                (&mut self.statements, typed.to_owned())
            } else if let Some(typed) = line.strip_prefix(COMMAND) {
                (&mut self.commands, typed.to_owned())
            } else {
                continue;
            };
            if typed.contains(&format!("<<'{END}'")) {
                for line in lines.by_ref() {
                    typed.push_str(&format!("\n{line}"));
                    if line == END {
                        break;
                    }
                }
            }
            let is_answer =
                |line: &&str| !line.starts_with(STATEMENT) && !line.starts_with(COMMAND);
            let mut answer = Vec::new();
            while let Some(line) = lines.next_if(is_answer) {
                answer.push(line.to_owned());
            }
            steps.push(Step { typed, answer });
        }
    }
}
