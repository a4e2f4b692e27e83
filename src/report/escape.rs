//! Texts as they stand in HTML, which the page and its drawings share.

/// A text in HTML, also within an attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Control characters are no text of a page.
            other if other.is_control() && other != '\n' && other != '\t' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
