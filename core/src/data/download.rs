//! Fetching a data set's files from their public home, once.
//!
//! A file is written under a temporary name, compared with its published MD5 (which tells a broken
//! transfer; it is no protection against a forged one) and renamed, so a file that is there is
//! whole.

use super::DataError;
use md5::{Digest, Md5};
use std::{
    io::{Read, Write},
    path::Path,
    time::Duration,
};

/// Fetches those of `files` (name, MD5) from `url` that `dir` lacks; `dir` is made where it is
/// missing.
///
/// # Errors
/// [`DataError::Download`], [`DataError::Checksum`], [`DataError::Io`]; nothing is left behind
/// under a file's name.
pub(super) fn fetch(url: &str, files: &[(&str, &'static str)], dir: &Path) -> Result<(), DataError> {
    if dir.is_file() {
        // An archive was named instead of a folder: it is there.
        return Ok(());
    }
    std::fs::create_dir_all(dir).map_err(|source| DataError::Io {
        action: "create",
        path: dir.to_owned(),
        source,
    })?;
    for &(file, expected) in files {
        let path = dir.join(file);
        if !path.exists() {
            fetch_file(&format!("{url}{file}"), expected, &path, dir)?;
        }
    }
    Ok(())
}

fn fetch_file(url: &str, expected: &'static str, path: &Path, dir: &Path) -> Result<(), DataError> {
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| DataError::Download {
        url: url.to_owned(),
        source,
    };
    let unwritten = |source| DataError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    // No limit on the whole transfer, which may be large; a server that falls silent is given up.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| refused(error.into()))?;
    let mut body = response.into_body().into_reader();
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(unwritten)?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = body.read(&mut buffer).map_err(|error| refused(error.into()))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(unwritten)?;
    }
    let got = format!("{:x}", hash.finalize());
    if got != expected {
        return Err(DataError::Checksum {
            url: url.to_owned(),
            expected,
            got,
        });
    }
    file.as_file().sync_all().map_err(unwritten)?;
    file.persist(path).map_err(|error| unwritten(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        sync::{Arc, Mutex},
    };

    // printf 'six images' | md5sum
    const MD5: &str = "87d11a9d0c854677eb20ae7c1b2f54b4";

    /// A server on this machine that knows one file; gives its address and the list of what was
    /// asked for.
    fn serve() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map(Result::unwrap);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let name = head[0]
                    .split(' ')
                    .nth(1)
                    .unwrap()
                    .trim_start_matches('/')
                    .to_owned();
                let (status, body) = if name == "data.gz" {
                    ("200 OK", "six images")
                } else {
                    ("404 Not Found", "")
                };
                list.lock().unwrap().push(name);
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        });
        (url, asked)
    }

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_fetched_once() {
        let (url, asked) = serve();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        for _ in 0..2 {
            fetch(&url, &[("data.gz", MD5)], &folder).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(folder.join("data.gz")).unwrap(),
            "six images"
        );
        assert_eq!(
            (names(&folder), asked.lock().unwrap().len()),
            (vec!["data.gz".to_owned()], 1)
        );
    }

    #[test]
    fn a_wrong_checksum_leaves_nothing_behind() {
        let (url, _) = serve();
        let dir = tempfile::tempdir().unwrap();
        let wrong = "00000000000000000000000000000000";
        let error = fetch(&url, &[("data.gz", wrong)], dir.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{url}data.gz` has MD5 {MD5}, expected {wrong}")
        );
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_missing_file_names_its_address() {
        let (url, _) = serve();
        let dir = tempfile::tempdir().unwrap();
        let error = fetch(&url, &[("other.gz", MD5)], dir.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot download `{url}other.gz`"));
        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .to_string()
                .contains("404"),
            "{error:?}"
        );
    }
}
