//! The ONNX files of the folder `POTSTILL_TEACHERS` as networks of Rust source, each registered as
//! a teacher.
//!
//! The build script has burn-onnx write the source and lists it in `teachers.rs`; here the source
//! is compiled. A binary that wants the teachers mentions this crate once (`use potstill_compiled
//! as _;`).

use burn::tensor::{Bool, DType, Device, Int, Tensor};
use potstill_core::value::Value;

/// What generated code returns: a tensor for one output, a tuple for several.
trait IntoValues {
    fn push_to(self, values: &mut Vec<Value>);
}

impl<const D: usize> IntoValues for Tensor<D> {
    fn push_to(self, values: &mut Vec<Value>) {
        values.push(Value::from(self.cast(DType::F32)));
    }
}

// As everywhere in a graph, integers and booleans live on the CPU.
impl<const D: usize> IntoValues for Tensor<D, Int> {
    fn push_to(self, values: &mut Vec<Value>) {
        values.push(Value::from_data(self.into_data(), &Device::flex()));
    }
}

impl<const D: usize> IntoValues for Tensor<D, Bool> {
    fn push_to(self, values: &mut Vec<Value>) {
        values.push(Value::from_data(self.into_data(), &Device::flex()));
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)+) => {
        impl<$first: IntoValues, $($rest: IntoValues),+> IntoValues for ($first, $($rest),+) {
            #[allow(non_snake_case, reason = "each variable is named after its type")]
            fn push_to(self, values: &mut Vec<Value>) {
                let ($first, $($rest),+) = self;
                $first.push_to(values);
                $($rest.push_to(values);)+
            }
        }
        tuples!($($rest)+);
    };
    ($only:ident) => {};
}

tuples!(A B C D E F G H I J K L M N O P Q R S T U V W X);

/// Compiles one network and registers it.
macro_rules! teacher {
    ($module:ident, $name:literal, source: $source:literal, head: $head:literal, digest: $digest:literal) => {
        #[allow(warnings, clippy::all, reason = "written by burn-onnx")]
        mod $module {
            include!($source);
        }

        impl potstill_teachers::compiled::CompiledNetwork for $module::Model {
            fn forward(&self, pictures: Tensor<4>) -> Vec<Value> {
                let mut values = Vec::new();
                // The generated method, which comes before the trait's of the same name.
                $module::Model::forward(self, pictures).push_to(&mut values);
                values
            }

            fn parameters(&self) -> usize {
                burn::module::Module::num_params(self)
            }
        }

        inventory::submit! {
            potstill_teachers::CompiledTeacher {
                name: $name,
                head: include_bytes!($head),
                digest: $digest,
                load: |device| Box::new($module::Model::from_embedded(device)),
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/teachers.rs"));
