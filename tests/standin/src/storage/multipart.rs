//! The file of a form upload: browsers send a `Blob` that way.

/// The part's content type and its bytes.
pub fn file(content_type: &str, body: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
    let boundary = content_type.split("boundary=").nth(1)?.trim_matches('"');
    let delimiter = format!("--{boundary}").into_bytes();
    split(body, &delimiter).into_iter().find_map(|part| {
        let end = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..end]).into_owned();
        if !head.contains("filename=") {
            return None;
        }
        let kind = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        });
        let content = &part[end + 4..];
        Some((kind, content.strip_suffix(b"\r\n").unwrap_or(content).to_vec()))
    })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn split<'b>(mut body: &'b [u8], delimiter: &[u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(body, delimiter) {
        parts.push(&body[..at]);
        body = &body[at + delimiter.len()..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_among_fields() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n3600\r\n\
            --b\r\nContent-Disposition: form-data; name=\"\"; filename=\"blob\"\r\nContent-Type: text/plain\r\n\r\nhello\r\nyou\r\n--b--\r\n";
        let (kind, content) = file("multipart/form-data; boundary=b", body).unwrap();
        assert_eq!((kind.as_deref(), &content[..]), (Some("text/plain"), &b"hello\r\nyou"[..]));
        assert!(file("multipart/form-data; boundary=other", body).is_none());
    }
}
