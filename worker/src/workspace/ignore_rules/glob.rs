//! Wildcards as git matches them (`wildmatch.c`), in time that grows with pattern times text and no faster: the patterns
//! are an agent's, and backtracking over many stars could take for ever.

/// Longer patterns match nothing: no path is that long.
const MAX_PATTERN_BYTES: usize = 4096;

#[derive(Debug)]
enum Token {
    Byte(u8),
    /// `?`
    Any,
    /// `[...]`: which bytes match.
    Class(Box<[bool; 256]>),
    /// Any bytes but slashes.
    Star,
    /// Any bytes.
    Stars,
    /// The next two tokens may be left out: `**/` stands for no directory, too.
    Maybe,
}

/// A pattern with wildcards.
#[derive(Debug)]
pub(super) struct Glob {
    tokens: Vec<Token>,
    /// Whether only [`Token::Stars`] match a slash.
    is_path: bool,
}

impl Glob {
    /// Reads a pattern for names, which have no slashes; none if it can match nothing.
    pub(super) fn of_name(pattern: &[u8]) -> Option<Self> {
        Self::parse(pattern, false)
    }

    /// Reads a pattern for paths.
    pub(super) fn of_path(pattern: &[u8]) -> Option<Self> {
        Self::parse(pattern, true)
    }

    fn parse(pattern: &[u8], is_path: bool) -> Option<Self> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return None;
        }
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            match byte {
                b'?' => tokens.push(Token::Any),
                b'\\' => {
                    tokens.push(Token::Byte(*pattern.get(at)?));
                    at += 1;
                }
                b'[' => {
                    let (set, end) = class(pattern, at)?;
                    tokens.push(Token::Class(set));
                    at = end;
                }
                b'*' => {
                    let begin = at - 1;
                    while pattern.get(at) == Some(&b'*') {
                        at += 1;
                    }
                    star(pattern, begin, at, is_path, &mut tokens);
                }
                _ => tokens.push(Token::Byte(byte)),
            }
        }
        Some(Self { tokens, is_path })
    }

    /// Follows all ways through the pattern at once.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        if let (Some(Token::Byte(wanted)), found) = (self.tokens.first(), text.first())
            && Some(wanted) != found
        {
            return false;
        }
        let mut active = vec![false; self.tokens.len() + 1];
        let mut next = active.clone();
        self.reach(&mut active, 0);
        for &byte in text {
            next.fill(false);
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| active[*at]) {
                let (fits, to) = match token {
                    Token::Byte(wanted) => (byte == *wanted, at + 1),
                    Token::Any => (self.is_inside_name(byte), at + 1),
                    Token::Class(set) => (set[usize::from(byte)] && self.is_inside_name(byte), at + 1),
                    Token::Star => (byte != b'/', at),
                    Token::Stars => (true, at),
                    Token::Maybe => (false, at),
                };
                if fits {
                    self.reach(&mut next, to);
                }
            }
            std::mem::swap(&mut active, &mut next);
        }
        active[self.tokens.len()]
    }

    fn is_inside_name(&self, byte: u8) -> bool {
        byte != b'/' || !self.is_path
    }

    /// Enters the place `at` of the pattern, and those that it leads to without reading anything.
    fn reach(&self, places: &mut [bool], mut at: usize) {
        while !std::mem::replace(&mut places[at], true) {
            match self.tokens.get(at) {
                Some(Token::Star | Token::Stars) => at += 1,
                Some(Token::Maybe) => {
                    self.reach(places, at + 3);
                    at += 1;
                }
                Some(Token::Byte(_) | Token::Any | Token::Class(_)) | None => return,
            }
        }
    }
}

/// Reads the stars from `begin` to `end`.
fn star(pattern: &[u8], begin: usize, end: usize, is_path: bool, tokens: &mut Vec<Token>) {
    if !is_path {
        tokens.push(Token::Stars);
        return;
    }
    let rest = &pattern[end..];
    let is_whole_name = (begin == 0 || pattern[begin - 1] == b'/')
        && (rest.is_empty() || rest.starts_with(b"/") || rest.starts_with(b"\\/"));
    if end - begin < 2 || !is_whole_name {
        tokens.push(Token::Star);
        return;
    }
    if rest.starts_with(b"/") {
        tokens.push(Token::Maybe);
    }
    tokens.push(Token::Stars);
}

/// Reads a class from behind its `[` on: which bytes match, and where it ends. None if it has no end or names a class of
/// characters that there is not.
fn class(pattern: &[u8], mut at: usize) -> Option<(Box<[bool; 256]>, usize)> {
    let is_negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(is_negated);
    let mut set = Box::new([false; 256]);
    // The byte before, from which a range may begin; 0 if none may.
    let mut before = 0;
    loop {
        let byte = *pattern.get(at)?;
        match byte {
            b'\\' => {
                at += 1;
                before = *pattern.get(at)?;
                set[usize::from(before)] = true;
            }
            b'-' if before != 0 && pattern.get(at + 1).is_some_and(|next| *next != b']') => {
                at += 1;
                if pattern[at] == b'\\' {
                    at += 1;
                }
                for inside in before..=*pattern.get(at)? {
                    set[usize::from(inside)] = true;
                }
                before = 0;
            }
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                let name = at + 2;
                let end = name + pattern[name..].iter().position(|byte| *byte == b']')?;
                if end == name || pattern[end - 1] != b':' {
                    // No name of a class after all.
                    set[usize::from(b'[')] = true;
                    before = b'[';
                } else {
                    let is_member = named_class(&pattern[name..end - 1])?;
                    (0..=u8::MAX).filter(is_member).for_each(|byte| set[usize::from(byte)] = true);
                    at = end;
                    before = 0;
                }
            }
            _ => {
                set[usize::from(byte)] = true;
                before = byte;
            }
        }
        at += 1;
        if *pattern.get(at)? == b']' {
            break;
        }
    }
    set.iter_mut().for_each(|member| *member ^= is_negated);
    Some((set, at + 1))
}

fn named_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stars_take_no_longer_than_few() {
        let glob = Glob::of_path("**/*a".repeat(300).as_bytes()).unwrap();
        assert!(!glob.matches("a/".repeat(2000).as_bytes()));
    }

    #[test]
    fn stars_of_both_kinds_stand_for_what_git_says() {
        let matches = |pattern: &str, text: &str| {
            Glob::of_path(pattern.as_bytes()).is_some_and(|glob| glob.matches(text.as_bytes()))
        };
        for (pattern, text) in
            [("**/a", "a"), ("**/a", "x/y/a"), ("a/**/b", "a/b"), ("a/**", "a/x/y"), ("**", "a/b")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("**/a", "xa"), ("a/*", "a/b/c"), ("a**b", "a/b"), ("?", "/"), ("[/]", "/"), ("[a", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
