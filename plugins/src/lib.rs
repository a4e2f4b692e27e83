//! Distillation methods, one file each. A method registers itself with `inventory` in its own file; a binary that wants them mentions this
//! crate once (`use potstill_plugins as _;`). Each is a cargo feature, so that a build can leave it out.

#[cfg(feature = "ab")]
pub mod ab;
#[cfg(feature = "at")]
pub mod at;
#[cfg(feature = "binarize")]
pub mod binarize;
#[cfg(feature = "cc")]
pub mod cc;
#[cfg(feature = "cl-ilr")]
pub mod cl_ilr;
#[cfg(feature = "crd")]
pub mod crd;
#[cfg(feature = "dist")]
pub mod dist;
#[cfg(feature = "dkd")]
pub mod dkd;
#[cfg(feature = "dml")]
pub mod dml;
#[cfg(feature = "dot")]
pub mod dot;
#[cfg(feature = "fitnets")]
pub mod fitnets;
#[cfg(feature = "fsp")]
pub mod fsp;
#[cfg(feature = "ft")]
pub mod ft;
#[cfg(feature = "kd")]
pub mod kd;
#[cfg(feature = "kdsvd")]
pub mod kdsvd;
#[cfg(feature = "lskd")]
pub mod lskd;
#[cfg(feature = "nst")]
pub mod nst;
#[cfg(feature = "ofd")]
pub mod ofd;
#[cfg(feature = "okddip")]
pub mod okddip;
#[cfg(feature = "one")]
pub mod one;
#[cfg(feature = "pkt")]
pub mod pkt;
#[cfg(feature = "qat")]
pub mod qat;
#[cfg(feature = "reviewkd")]
pub mod reviewkd;
#[cfg(feature = "rkd")]
pub mod rkd;
#[cfg(feature = "sp")]
pub mod sp;
#[cfg(feature = "tf-kd")]
pub mod tf_kd;
#[cfg(feature = "vid")]
pub mod vid;

#[allow(dead_code, reason = "which methods a build has is up to its features")]
mod features;
#[allow(dead_code, reason = "which methods a build has is up to its features")]
mod layers;
#[allow(dead_code, reason = "which methods a build has is up to its features")]
mod pairs;
#[cfg(test)]
mod records;

use potstill_core::plugin::PluginError;
use potstill_core::schedule::Schedule;

/// Refuses what no soft term can have: a temperature of 0 or less, a negative weight, a negative ε.
#[allow(dead_code, reason = "which methods a build has is up to its features")]
fn check_soft_term(
    plugin: &str,
    temperature: f64,
    weight: &Schedule,
    epsilon: f64,
) -> Result<(), PluginError> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(PluginError::bad_value(
            plugin,
            "temperature",
            temperature,
            "a number above 0",
        ));
    }
    if weight.range().0 < 0.0 {
        return Err(PluginError::bad_value(
            plugin,
            "weight",
            weight,
            "values of 0 or more",
        ));
    }
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(PluginError::bad_value(plugin, "target-eps", epsilon, "0 or more"));
    }
    Ok(())
}

/// Refuses a negative weight, or one that is no number.
#[allow(dead_code, reason = "which methods a build has is up to its features")]
fn check_weight(plugin: &str, option: &str, weight: f64) -> Result<(), PluginError> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    Err(PluginError::bad_value(plugin, option, weight, "0 or more"))
}

#[cfg(test)]
mod tests {
    use potstill_core::plugin::entries;

    #[test]
    fn options_and_defaults_have_the_same_keys() {
        // What follows from other choices unless it is given has no default to list.
        let absent = ["lambda"];
        for entry in entries().unwrap().values() {
            let mut listed: Vec<&str> = entry.options.iter().map(|option| option.name).collect();
            listed.retain(|name| !absent.contains(name));
            listed.sort_unstable();
            let defaults = (entry.defaults)();
            let mut defaulted: Vec<&str> = defaults.keys().map(String::as_str).collect();
            defaulted.sort_unstable();
            assert_eq!(listed, defaulted, "{}", entry.name);
        }
    }
}
