//! Records of a checkpoint in Burn's format, looked at before Burn takes them up.
//!
//! Burn checks that a record's tensors lie within the file. What it takes for granted is what it
//! wrote itself: it panics on an optimizer's tensor without a parameter, on ranks beyond 8, and, a
//! step later, on a state of another shape than its parameter's.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Bytes, DType};
use burn_pack::Reader;

/// The ranks that Burn keeps an optimizer's state for.
const RANKS: std::ops::RangeInclusive<usize> = 1..=8;
/// What Burn adds to a parameter's number for the entry with its rank.
const RANK_ENTRY: &str = ".__rank";

/// The bytes of a record whose tensors are 32-bit floats, as all that are trained here.
pub(super) struct SoundRecord {
    pub bytes: Bytes,
    tensors: Vec<Entry>,
    /// The ranks that an optimizer's record states, by parameter.
    ranks: BTreeMap<u64, Option<usize>>,
}

struct Entry {
    name: String,
    parameter: Option<u64>,
    shape: Vec<usize>,
}

impl SoundRecord {
    /// Reads a file whole: Burn makes room for as much as the header of a file says, and for no
    /// more than there is where it has the bytes.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        Self::new(Bytes::from_bytes_vec(bytes))
    }

    fn new(bytes: Bytes) -> Result<Self, String> {
        let reader = Reader::from_bytes(bytes.clone()).map_err(|error| error.to_string())?;
        let stated = reader.scalars().iter().filter_map(|(name, rank)| {
            let parameter = name.strip_suffix(RANK_ENTRY)?.parse().ok()?;
            Some((parameter, usize::try_from(*rank).ok()))
        });
        let ranks = stated.collect();
        let mut tensors = Vec::new();
        for tensor in reader.into_tensors().map_err(|error| error.to_string())? {
            let (name, dtype, shape, parameter, _) =
                tensor.into_parts().map_err(|error| error.to_string())?;
            if dtype != DType::F32 {
                return Err(format!("`{name}` holds {dtype:?}, expected F32"));
            }
            tensors.push(Entry {
                name,
                parameter,
                shape: shape.to_vec(),
            });
        }
        Ok(Self {
            bytes,
            tensors,
            ranks,
        })
    }

    /// Refuses what cannot be the state of an optimizer for the parameters of these modules.
    pub fn check_state_of(&self, modules: &[&SoundRecord]) -> Result<(), String> {
        let parameters: BTreeMap<u64, &[usize]> = modules
            .iter()
            .flat_map(|module| &module.tensors)
            .filter_map(|tensor| Some((tensor.parameter?, tensor.shape.as_slice())))
            .collect();
        for tensor in &self.tensors {
            let name = &tensor.name;
            let parameter = tensor
                .parameter
                .ok_or_else(|| format!("`{name}` belongs to no parameter"))?;
            match parameters.get(&parameter) {
                Some(shape) if *shape == tensor.shape => {}
                Some(shape) => {
                    return Err(format!(
                        "`{name}` has shape {:?}, expected {shape:?} as its parameter",
                        tensor.shape
                    ));
                }
                None => return Err(format!("`{name}` belongs to a parameter that no network has")),
            }
        }
        for (parameter, rank) in &self.ranks {
            let expected = parameters.get(parameter).map(|shape| shape.len());
            let fits = expected.is_some_and(|rank| RANKS.contains(&rank)) && *rank == expected;
            if !fits {
                let (rank, expected) = (text(*rank), text(expected));
                return Err(format!(
                    "the rank of parameter {parameter} is {rank}, expected {expected}"
                ));
            }
        }
        Ok(())
    }
}

fn text(rank: Option<usize>) -> String {
    rank.map_or_else(|| "none".to_owned(), |rank| rank.to_string())
}

#[cfg(test)]
mod tests {
    use burn_pack::{Tensor, Writer};

    use super::*;

    fn tensor(name: &str, parameter: Option<u64>, shape: &[usize]) -> Tensor {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        Tensor::new(
            name.to_owned(),
            DType::F32,
            shape.to_vec(),
            parameter,
            Bytes::from_bytes_vec(bytes),
        )
    }

    fn record(tensors: Vec<Tensor>, rank: Option<u64>) -> SoundRecord {
        let writer = Writer::new(tensors);
        let writer = match rank {
            Some(rank) => writer.with_scalar("7.__rank", burn_pack::Scalar::UInt(rank)),
            None => writer,
        };
        SoundRecord::new(writer.into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn a_state_that_burn_would_panic_at_is_refused_with_what_was_expected() {
        let module = record(vec![tensor("weight", Some(7), &[2, 3])], None);
        let refusal = |tensors, rank| record(tensors, rank).check_state_of(&[&module]);
        let state = |parameter, shape: &[usize]| vec![tensor("7.moment", parameter, shape)];
        assert_eq!(refusal(state(Some(7), &[2, 3]), Some(2)), Ok(()));
        for (tensors, rank, expected) in [
            (state(None, &[2, 3]), Some(2), "belongs to no parameter"),
            (state(Some(8), &[2, 3]), Some(2), "that no network has"),
            (state(Some(7), &[3, 2]), Some(2), "[3, 2], expected [2, 3]"),
            (state(Some(7), &[2, 3]), Some(9), "is 9, expected 2"),
        ] {
            let error = refusal(tensors, rank).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn other_elements_than_floats_are_refused_by_their_name() {
        let numbers = Tensor::new(
            "weight".to_owned(),
            DType::I64,
            vec![1],
            Some(7),
            Bytes::from_bytes_vec(vec![0; 8]),
        );
        let bytes = Writer::new(vec![numbers]).into_bytes().unwrap();
        let error = SoundRecord::new(bytes).err().unwrap();
        assert!(error.contains("`weight` holds I64, expected F32"), "{error}");
    }
}
