//! A repository behind a network connection: git's own protocol, each request served by the git program. Its hooks run,
//! as a server's do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// Serves repositories below `root` until the test ends, and returns the address of that one.
pub(crate) fn serve(repository: &Path) -> String {
    serve_times(repository, usize::MAX)
}

/// Serves so many requests, and is gone then.
pub(crate) fn serve_times(repository: &Path, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().take(times) {
            answer(connection.unwrap());
        }
    });
    format!("git://{address}{}", repository.display())
}

/// Reads `git-receive-pack /path\0host=...\0`, behind its length in four hex digits, and lets git do the rest.
fn answer(mut connection: TcpStream) {
    let mut length = [0; 4];
    connection.read_exact(&mut length).unwrap();
    let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
    let mut request = vec![0; length - 4];
    connection.read_exact(&mut request).unwrap();
    let request = String::from_utf8(request).unwrap();
    let (service, path) = request.split('\0').next().unwrap().split_once(' ').unwrap();
    let side = |stream: &TcpStream| Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
    let status = Command::new("git")
        .args(["-c", "safe.directory=*", service.strip_prefix("git-").unwrap(), path])
        .stdin(side(&connection))
        .stdout(side(&connection))
        .stderr(Stdio::null())
        .status();
    drop(status);
}

/// Serves the files of a repository over HTTP until the test ends, as a server does that knows nothing of git.
pub(crate) fn serve_files(repository: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let root = repository.to_owned();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            answer_file(&connection.unwrap(), &root);
        }
    });
    format!("http://{address}/r.git")
}

fn answer_file(mut connection: &TcpStream, root: &Path) {
    let mut request = BufReader::new(connection).lines().map_while(Result::ok);
    let first = request.next().unwrap_or_default();
    request.take_while(|line| !line.is_empty()).for_each(drop);
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let found = path.strip_prefix("/r.git/").and_then(|path| fs::read(root.join(path)).ok());
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&body));
}
