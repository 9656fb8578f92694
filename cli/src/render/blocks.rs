//! Blocks of lines, side by side where there is room and below each other where there is none.

use console::{Alignment, measure_text_width, pad_str};

/// Lines that belong together.
pub(super) type Block = Vec<String>;

const GAP: usize = 4;

/// Sets blocks in rows that are no wider than `width`, with an empty line between two rows.
pub(super) fn flow(blocks: Vec<Block>, width: Option<usize>) -> Vec<String> {
    let mut rows: Vec<(usize, Vec<Block>)> = Vec::new();
    for block in blocks {
        let wide = width_of(&block);
        match rows.last_mut() {
            Some((taken, row)) if width.is_none_or(|width| *taken + GAP + wide <= width) => {
                *taken += GAP + wide;
                row.push(block);
            }
            Some(_) | None => rows.push((wide, vec![block])),
        }
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| beside(&row)).collect();
    rows.join(&String::new())
}

fn width_of(block: &Block) -> usize {
    block.iter().map(|line| measure_text_width(line)).max().unwrap_or_default()
}

fn beside(blocks: &[Block]) -> Vec<String> {
    let height = blocks.iter().map(Vec::len).max().unwrap_or_default();
    let line = |index: usize| {
        let cells = blocks.iter().map(|block| {
            let cell = block.get(index).map(String::as_str).unwrap_or_default();
            pad_str(cell, width_of(block), Alignment::Left, None).into_owned()
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stand_side_by_side_as_far_as_they_fit() {
        let block = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Block>();
        let blocks = vec![block(&["a", "bbb"]), block(&["c"]), block(&["dd", "ee"])];
        assert_eq!(flow(blocks.clone(), None), ["a      c    dd", "bbb         ee"]);
        assert_eq!(flow(blocks.clone(), Some(9)), ["a      c", "bbb", "", "dd", "ee"]);
        assert_eq!(flow(blocks, Some(1)), ["a", "bbb", "", "c", "", "dd", "ee"]);
    }
}
