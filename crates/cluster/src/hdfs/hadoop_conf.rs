//! The folder with Hadoop's core-site.xml and hdfs-site.xml.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];

/// Where the site's settings are, and what a client has to know before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HadoopConf {
    pub folder: Option<PathBuf>,
    /// Whether clients prove who they are (Kerberos), rather than give a user name.
    pub is_secure: bool,
}

impl HadoopConf {
    /// Finds the folder as Hadoop does (the named one, HADOOP_CONF_DIR, HADOOP_HOME/etc/hadoop) and reads
    /// it. It is an error if a named folder has neither file.
    pub fn find(named: Option<&Path>) -> io::Result<HadoopConf> {
        let from = |name: &str| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let home = || from("HADOOP_HOME").map(|home| home.join("etc/hadoop"));
        match named {
            Some(folder) if FILES.iter().any(|file| folder.join(file).exists()) => {
                HadoopConf::read(folder)
            }
            Some(_) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("it has neither {} nor {}", FILES[0], FILES[1]),
            )),
            None => match from("HADOOP_CONF_DIR").or_else(home) {
                Some(folder) => HadoopConf::read(&folder),
                None => Ok(HadoopConf::default()),
            },
        }
    }

    fn read(folder: &Path) -> io::Result<HadoopConf> {
        let mut is_secure = false;
        for file in FILES {
            let text = match fs::read_to_string(folder.join(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text?,
            };
            if let Some(kind) = value_of(&text, "hadoop.security.authentication") {
                is_secure = kind != "simple";
            }
        }
        Ok(HadoopConf {
            folder: Some(folder.to_owned()),
            is_secure,
        })
    }
}

/// The value of a property; the last one wins. Not an XML parser: enough for the flat files that Hadoop
/// reads, which hold properties of a name and a value, and comments.
fn value_of(xml: &str, name: &str) -> Option<String> {
    let text = without_comments(xml);
    let properties = text.split("<property>").skip(1);
    let found = properties.filter(|property| within(property, "name") == Some(name));
    let values = found.filter_map(|property| within(property, "value").map(str::to_owned));
    values.last()
}

fn within<'a>(property: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = property.split_once(&format!("<{tag}>"))?;
    let (text, _) = rest.split_once(&format!("</{tag}>"))?;
    Some(text.trim())
}

fn without_comments(xml: &str) -> String {
    let mut parts = xml.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.filter_map(|part| part.split_once("-->"));
    rest.fold(first, |text, (_, behind)| text + behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "<configuration>
        <!-- <property><name>hadoop.security.authentication</name><value>x</value></property> -->
        <property>
            <name> hadoop.security.authentication </name>
            <value>kerberos</value>
        </property>
    </configuration>";

    #[test]
    fn kerberos_is_found_and_comments_are_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(HadoopConf::find(Some(folder.path())).is_err());
        fs::write(folder.path().join("core-site.xml"), SITE).expect("written");
        let found = HadoopConf::find(Some(folder.path())).expect("found");
        assert!(found.is_secure);
        let simple = SITE.replace("kerberos", "simple");
        fs::write(folder.path().join("core-site.xml"), simple).expect("written");
        let found = HadoopConf::find(Some(folder.path())).expect("found");
        assert!(!found.is_secure);
        assert_eq!(value_of(SITE, "fs.defaultFS"), None);
    }
}
