//! Faults that break readers, drawn from a number.

/// Draws that depend on a number alone (Steele, Lea and Flood's SplitMix64).
pub struct Chance(u64);

impl Chance {
    /// The draws of a number.
    pub fn new(number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.next().checked_rem(bound as u64).unwrap_or(0) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Numbers that a size, a count or an offset should not be.
const SIZES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    1 << 24,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Headers lie at the start of most files: every second fault is put there.
const HEADER: usize = 128;

/// One of the seeds with one to four faults.
pub fn damaged(seeds: &[(String, Vec<u8>)], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].1.clone();
    for _ in 0..=chance.below(4) {
        let other = &seeds[chance.below(seeds.len())].1;
        damage(&mut bytes, other, chance);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let reach = if chance.below(2) == 0 {
        bytes.len().min(HEADER)
    } else {
        bytes.len()
    };
    let at = chance.below(reach);
    let rest = bytes.len() - at;
    match chance.below(9) {
        0 => bytes.truncate(at),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = chance.below(256) as u8;
            }
        }
        3 | 4 => {
            let width = chance.of(&[1, 2, 4, 8]);
            let size = chance.of(&SIZES);
            let (little, big) = (size.to_le_bytes(), size.to_be_bytes());
            let field = if chance.below(2) == 0 {
                &little[..width]
            } else {
                &big[8 - width..]
            };
            overwrite(bytes, at, field);
        }
        5 => number_in_text(bytes, at, chance),
        // The longest number of a protobuf.
        6 => overwrite(
            bytes,
            at,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][chance.below(9)..],
        ),
        7 => {
            let end = at + chance.below(rest);
            if chance.below(2) == 0 {
                bytes.drain(at..end);
            } else {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
        _ => {
            let from = chance.below(other.len());
            let count = chance.below((other.len() - from).min(64));
            bytes.splice(at..at, other[from..from + count].iter().copied());
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..]
        .iter_mut()
        .zip(field)
        .for_each(|(byte, new)| *byte = *new);
}

/// Exchanges the next number that is written in digits, as in JSON, TOML and tar.
fn number_in_text(bytes: &mut Vec<u8>, at: usize, chance: &mut Chance) {
    let Some(start) = bytes[at..]
        .iter()
        .position(u8::is_ascii_digit)
        .map(|start| at + start)
    else {
        return;
    };
    let length = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if chance.below(2) == 0 {
        // The largest of as many digits: fields of a fixed width stay where they are.
        bytes[start..start + length].fill(chance.of(b"79"));
    } else {
        let text = format!("{}{}", chance.of(&["", "-"]), chance.of(&SIZES));
        bytes.splice(start..start + length, text.into_bytes());
    }
}
