//! The part that the child plays: a scene.

use crate::scenes;

/// Does nothing unless it was started to play a scene; then it fails when that does.
#[test]
fn plays_its_part() {
    let Ok(scene) = std::env::var("TRIMTAB_SCENE") else { return };
    match scene.as_str() {
        "kill" => scenes::kill(),
        "freeze" => scenes::freeze(),
        "stall" => scenes::stall(),
        "cut" => scenes::cut(),
        "deaf" => scenes::deaf(),
        "restart" => scenes::restart(),
        "full" => scenes::full(),
        "refill" => scenes::refill(),
        other => panic!("there is no scene {other}"),
    }
    println!("scene: done");
}
