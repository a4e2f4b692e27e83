//! What stands between the student's pictures and a teacher that was trained with others: another
//! normalisation, another size, another order of the classes.
//!
//! A network is a graph, so these are nodes before and after the teacher's own: taps, files of kept
//! outputs and evaluation see one network that takes the data's pictures and gives logits in the
//! data's order. The teacher's values keep their names.

use burn::tensor::TensorData;
use potstill_core::builder::GraphBuilder;
use potstill_core::graph::{Graph, GraphError, Role, ValueInfo};

/// What a teacher needs of the data's pictures and gives to the data's classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adaptation {
    /// For each channel, factor and summand that turn the data's normalisation into the teacher's.
    pub renormalise: Option<Vec<(f32, f32)>>,
    /// Height and width that the teacher takes; pictures are resized to them (bilinear, half-pixel
    /// centres).
    pub size: Option<[usize; 2]>,
    /// Whether the teacher takes `[batch, height, width, channels]`, as TensorFlow's networks do.
    pub channels_last: bool,
    /// For each of the data's classes, the teacher's.
    pub classes: Option<Vec<usize>>,
}

impl Adaptation {
    /// Factor and summand from the data's mean and standard deviation to the teacher's: with p the
    /// pixel, the data gives x = (p − m) / s, the teacher takes (p − m′) / s′ = x · s/s′ + (m −
    /// m′)/s′. `None` where both are the same.
    pub fn between(data: (&[f32], &[f32]), teacher: (&[f32], &[f32])) -> Option<Vec<(f32, f32)>> {
        if data == teacher {
            return None;
        }
        let channels = data.0.iter().zip(data.1).zip(teacher.0.iter().zip(teacher.1));
        Some(
            channels
                .map(|((mean, std), (own_mean, own_std))| (std / own_std, (mean - own_mean) / own_std))
                .collect(),
        )
    }

    /// The picture that the teacher itself takes.
    pub fn picture(&self, [channels, height, width]: [usize; 3]) -> [usize; 3] {
        let [height, width] = self.size.unwrap_or([height, width]);
        [channels, height, width]
    }

    /// A teacher's graph with what it needs before and after it, for pictures `[channels, height,
    /// width]`.
    ///
    /// # Errors
    /// A number of channels that is not the picture's, a class that the teacher does not have.
    pub fn apply(&self, graph: &mut Graph, picture: [usize; 3]) -> Result<(), GraphError> {
        self.before(graph, picture)?;
        self.after(graph)?;
        graph.validate()
    }

    fn before(&self, graph: &mut Graph, picture: [usize; 3]) -> Result<(), GraphError> {
        let Some(input) = graph.inputs.first().map(|input| input.name.clone()) else {
            return Ok(());
        };
        if self.renormalise.is_none() && self.size.is_none() && !self.channels_last {
            return Ok(());
        }
        let mut names = graph.fresh_names();
        let mut own = |part: &str| names.make(&format!("{input}.{part}"));
        let mut b = GraphBuilder::new("adaptation", 0);
        let mut x = b.input(&own("pictures"), &picture);
        if let Some(channels) = &self.renormalise {
            let mut constant = |part: String, values: Vec<f32>| {
                let dims = vec![1, values.len(), 1, 1];
                b.store(&part, Role::Constant, TensorData::new(values, dims))
            };
            let (factors, summands) = channels.iter().copied().unzip();
            let factors = constant(own("factors"), factors);
            let summands = constant(own("summands"), summands);
            x = b.node(&own("scaled"), "Mul", &[&x, &factors], [])?;
            x = b.node(&own("renormalised"), "Add", &[&x, &summands], [])?;
        }
        if let Some([height, width]) = self.size {
            let shape = b.node(&own("shape"), "Shape", &[&x], [])?;
            let (start, end) = (b.ints(&own("start"), &[0]), b.ints(&own("end"), &[2]));
            let kept = b.node(&own("kept"), "Slice", &[&shape, &start, &end], [])?;
            let size = b.ints(&own("size"), &[height as i64, width as i64]);
            let sizes = b.node(&own("sizes"), "Concat", &[&kept, &size], [("axis", 0.into())])?;
            x = b.node(
                &own("resized"),
                "Resize",
                &[&x, "", "", &sizes],
                [("mode", "linear".into())],
            )?;
        }
        let name = if self.channels_last {
            let order = vec![0, 2, 3, 1];
            b.node(&input, "Transpose", &[&x], [("perm", order.into())])?
        } else {
            b.node(&input, "Identity", &[&x], [])?
        };
        b.output(&name, &name)?;
        let before = b.finish()?;
        graph.nodes.splice(0..0, before.nodes);
        graph.tensors.extend(before.tensors);
        graph.inputs = before.inputs;
        Ok(())
    }

    fn after(&self, graph: &mut Graph) -> Result<(), GraphError> {
        let (Some(classes), Some(output)) = (&self.classes, graph.outputs.first()) else {
            return Ok(());
        };
        let (logits, doc) = (output.name.clone(), output.doc.clone());
        let mut names = graph.fresh_names();
        let mut own = |part: &str| names.make(&format!("{logits}.{part}"));
        let most = classes.iter().max().map_or(0, |most| most + 1);
        // Shapes are checked where the whole graph is.
        let mut b = GraphBuilder::new("adaptation", 0);
        let x = b.input(&logits, &[most]);
        let order: Vec<i64> = classes.iter().map(|class| *class as i64).collect();
        let order = b.ints(&own("order"), &order);
        let ordered = b.node(&own("ordered"), "Gather", &[&x, &order], [("axis", 1.into())])?;
        b.output(&ordered, &ordered)?;
        let after = b.finish()?;
        graph.outputs[0] = ValueInfo {
            doc,
            ..after.outputs[0].clone()
        };
        graph.nodes.extend(after.nodes);
        graph.tensors.extend(after.tensors);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use potstill_core::network::Network;
    use potstill_core::op::Mode;
    use potstill_core::value::Value;

    use burn::tensor::{Device, Tensor};

    use super::*;

    /// Sums of each channel, with three classes of them: logits = W · mean over the picture.
    fn teacher(size: usize) -> Graph {
        let mut b = GraphBuilder::new("teacher", 3);
        let x = b.input("input", &[2, size, size]);
        let pooled = b.global_pool("pool", &x).unwrap();
        let y = b.linear("fc", &pooled, 3).unwrap();
        b.output("logits", &y).unwrap();
        b.finish().unwrap()
    }

    fn run(graph: Graph, pictures: &Tensor<4>) -> Vec<f32> {
        let network = Network::new(graph, &Device::flex()).unwrap();
        let outputs = network
            .forward(Value::from(pictures.clone()), &[], Mode::Inference)
            .unwrap();
        let (_, value) = outputs.first().unwrap();
        value.to_floats().unwrap()
    }

    fn pictures(size: usize) -> Tensor<4> {
        let count = 2 * 2 * size * size;
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
        Tensor::from_data(TensorData::new(values, [2, 2, size, size]), &Device::flex())
    }

    #[test]
    fn a_teacher_sees_the_pixels_in_its_own_normalisation() {
        let pixels = pictures(4);
        let normalised = |mean: f32, std: f32| (pixels.clone() - mean) / std;
        let adaptation = Adaptation {
            renormalise: Adaptation::between((&[0.2; 2], &[0.5; 2]), (&[0.4; 2], &[0.3; 2])),
            ..Adaptation::default()
        };
        let mut adapted = teacher(4);
        adaptation.apply(&mut adapted, [2, 4, 4]).unwrap();
        let expected = run(teacher(4), &normalised(0.4, 0.3));
        let got = run(adapted, &normalised(0.2, 0.5));
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
        assert_eq!(Adaptation::between((&[0.2], &[0.5]), (&[0.2], &[0.5])), None);
    }

    /// A teacher with tensors under the names that are given to what is put before and after it.
    #[test]
    fn what_is_added_does_not_take_the_names_of_others() {
        let named = |factors: &str, order: &str| {
            let mut b = GraphBuilder::new("teacher", 3);
            let x = b.input("input", &[2, 4, 4]);
            let channels = |values: Vec<f32>| TensorData::new(values, [1, 2, 1, 1]);
            let factors = b.store(factors, Role::Weight, channels(vec![2.0, 3.0]));
            let order = b.store(order, Role::Weight, channels(vec![1.0, 5.0]));
            let x = b.node("scaled", "Mul", &[&x, &factors], []).unwrap();
            let x = b.node("shifted", "Add", &[&x, &order], []).unwrap();
            let x = b.global_pool("pool", &x).unwrap();
            let y = b.linear("fc", &x, 3).unwrap();
            b.output("logits", &y).unwrap();
            b.finish().unwrap()
        };
        let adaptation = Adaptation {
            renormalise: Adaptation::between((&[0.2; 2], &[0.5; 2]), (&[0.4; 2], &[0.3; 2])),
            classes: Some(vec![2, 0]),
            ..Adaptation::default()
        };
        let run = |mut graph: Graph| {
            adaptation.apply(&mut graph, [2, 4, 4]).unwrap();
            run(graph, &pictures(4))
        };
        assert_eq!(
            run(named("input.factors", "logits.order")),
            run(named("other", "names"))
        );
    }

    #[test]
    fn pictures_are_resized_to_the_teachers_size() {
        let adaptation = Adaptation {
            size: Some([8, 8]),
            ..Adaptation::default()
        };
        assert_eq!(adaptation.picture([2, 4, 4]), [2, 8, 8]);
        let mut adapted = teacher(8);
        adaptation.apply(&mut adapted, [2, 4, 4]).unwrap();
        // Bilinear enlargement by 2 keeps the mean of a constant picture, and the tap keeps its
        // name.
        let flat = Tensor::<4>::ones([1, 2, 4, 4], &Device::flex());
        let large = Tensor::<4>::ones([1, 2, 8, 8], &Device::flex());
        let (got, expected) = (run(adapted.clone(), &flat), run(teacher(8), &large));
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
        assert!(adapted.check_value("pool").is_ok());
    }

    #[test]
    fn a_network_of_channels_last_is_fed_what_it_expects() {
        let mut b = GraphBuilder::new("teacher", 3);
        let x = b.input("input", &[4, 4, 2]);
        let x = b
            .node(
                "channels-first",
                "Transpose",
                &[&x],
                [("perm", vec![0, 3, 1, 2].into())],
            )
            .unwrap();
        let pooled = b.global_pool("pool", &x).unwrap();
        let y = b.linear("fc", &pooled, 3).unwrap();
        b.output("logits", &y).unwrap();
        let path = std::path::Path::new("teacher.onnx");
        let opened = crate::Classifier::new(path, b.finish().unwrap(), [2, 4, 4], &Device::flex()).unwrap();
        let graph = opened.network.graph().clone();
        assert_eq!(run(graph, &pictures(4)), run(teacher(4), &pictures(4)));
    }

    #[test]
    fn logits_come_in_the_datas_order() {
        let adaptation = Adaptation {
            classes: Some(vec![2, 0]),
            ..Adaptation::default()
        };
        let mut adapted = teacher(4);
        adaptation.apply(&mut adapted, [2, 4, 4]).unwrap();
        let own = run(teacher(4), &pictures(4));
        assert_eq!(run(adapted, &pictures(4)), [own[2], own[0], own[5], own[3]]);
    }
}
