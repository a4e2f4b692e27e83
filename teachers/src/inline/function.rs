//! Calls of functions that a model defines itself: PyTorch's `torch.export` exporter wrote each of
//! its operators as one for some versions.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#functions>

use std::collections::{HashMap, HashSet};

use onnx_protobuf::{AttributeProto, FunctionProto, ModelProto, NodeProto};

use super::names::{Names, inner_graph, made, rename};
use crate::error::DecodeError;
use crate::node::domain;

/// A model's functions by domain and name.
pub(super) struct Functions<'a>(HashMap<Name<'a>, &'a FunctionProto>);

/// Domain and name.
type Name<'a> = (&'a str, &'a str);

impl<'a> Functions<'a> {
    /// # Errors
    /// A function written in another operator set than the model, or one that calls itself.
    pub(super) fn of(model: &'a ModelProto) -> Result<Self, DecodeError> {
        let refuse = |function: &FunctionProto, what: String| DecodeError::Feature {
            what: format!("function `{}`{what}", function.name),
        };
        let own = |set: &&onnx_protobuf::OperatorSetIdProto| domain(&set.domain).is_empty();
        let opset = model.opset_import.iter().find(own).map_or(0, |set| set.version);
        let mut functions = Self(HashMap::new());
        for function in &model.functions {
            if let Some(set) = function.opset_import.iter().find(own)
                && set.version != opset
            {
                let what = format!(" of operator set {} in a model of {opset}", set.version);
                return Err(refuse(function, what));
            }
            let name = (domain(&function.domain), function.name.as_str());
            functions.0.insert(name, function);
        }
        match functions.endless() {
            Some(function) => Err(refuse(function, ", which calls itself,".to_owned())),
            None => Ok(functions),
        }
    }

    /// A function that calls itself, or one that does.
    fn endless(&self) -> Option<&'a FunctionProto> {
        let mut waiting: HashMap<Name<'a>, usize> = HashMap::new();
        let mut callers: HashMap<Name<'a>, Vec<Name<'a>>> = HashMap::new();
        for (name, function) in &self.0 {
            let called: HashSet<Name<'a>> = calls(&function.node).into_iter().collect();
            let own: Vec<Name<'a>> = called
                .into_iter()
                .filter(|called| self.0.contains_key(called))
                .collect();
            waiting.insert(*name, own.len());
            for called in own {
                callers.entry(called).or_default().push(*name);
            }
        }
        let ended = |(name, calls): (&Name<'a>, &usize)| (*calls == 0).then_some(*name);
        let mut ready: Vec<Name<'a>> = waiting.iter().filter_map(ended).collect();
        while let Some(name) = ready.pop() {
            waiting.remove(&name);
            for caller in callers.remove(&name).unwrap_or_default() {
                if let Some(calls) = waiting.get_mut(&caller) {
                    *calls -= 1;
                    if *calls == 0 {
                        ready.push(caller);
                    }
                }
            }
        }
        waiting.keys().next().and_then(|name| self.0.get(name)).copied()
    }

    fn called(&self, proto: &NodeProto) -> Option<&'a FunctionProto> {
        self.0.get(&call(proto)).copied()
    }

    pub(super) fn has(&self, proto: &NodeProto) -> bool {
        self.called(proto).is_some()
    }

    /// The nodes of the function that a node calls, with the call's values and attributes in place
    /// of the function's; `None` for a node that calls none.
    pub(super) fn body(&self, proto: &NodeProto, names: &mut Names) -> Option<Vec<NodeProto>> {
        let function = self.called(proto)?;
        let bound = |formal: &[String], actual: &[String]| -> HashMap<String, String> {
            let actual = actual.iter().cloned().chain(std::iter::repeat(String::new()));
            formal.iter().cloned().zip(actual).collect()
        };
        let mut renamed = bound(&function.input, &proto.input);
        let mut outputs = bound(&function.output, &proto.output);
        // An output that nobody asked for may be read within the function.
        outputs.retain(|_, actual| !actual.is_empty());
        renamed.extend(outputs);
        let inner = made(&function.node).filter(|name| !renamed.contains_key(*name));
        let fresh = names.fresh(proto, inner);
        renamed.extend(fresh);
        let mut nodes = function.node.clone();
        rename(&mut nodes, proto, &renamed);
        let mut given: HashMap<&str, &AttributeProto> = HashMap::new();
        for attribute in function.attribute_proto.iter().chain(&proto.attribute) {
            given.insert(&attribute.name, attribute);
        }
        give(&mut nodes, &given);
        Some(nodes)
    }
}

fn call(proto: &NodeProto) -> Name<'_> {
    (domain(&proto.domain), &proto.op_type)
}

/// What nodes may call, and the nodes of graphs within them.
fn calls(nodes: &[NodeProto]) -> Vec<Name<'_>> {
    let mut found = Vec::new();
    for node in nodes {
        found.push(call(node));
        let inner = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
        inner.for_each(|inner| found.extend(calls(&inner.node)));
    }
    found
}

/// Puts a call's attributes in place of references to them; one that was not given is absent.
fn give(nodes: &mut [NodeProto], given: &HashMap<&str, &AttributeProto>) {
    for node in nodes {
        node.attribute.retain_mut(|attribute| {
            if let Some(inner) = inner_graph(attribute) {
                give(&mut inner.node, given);
            }
            if attribute.ref_attr_name.is_empty() {
                return true;
            }
            let Some(value) = given.get(attribute.ref_attr_name.as_str()) else {
                return false;
            };
            let name = std::mem::take(&mut attribute.name);
            attribute.clone_from(value);
            attribute.name = name;
            true
        });
    }
}
