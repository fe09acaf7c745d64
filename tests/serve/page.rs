use std::path::{Path, PathBuf};
use std::time::Duration;

use tipcam::serve::{Settings, Token};

use crate::browser::Browser;
use crate::house::House;

/// Where pictures of the page are kept, to be looked at.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("page").join(name)
}

const HOLD: Duration = Duration::from_millis(1500);

#[test]
fn a_class_is_taught_by_holding_the_button_and_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    house.wall.show("grand_piano");
    let Some(browser) = Browser::open(1280, 800) else { return };
    browser.go(&house.url());
    browser.wait_for(
        "the live answer",
        "document.querySelector('#stable').textContent === 'grand piano'",
    );
    browser.wait_for("the live picture", "!document.querySelector('#picture').hidden");
    browser.wait_for("bars", "document.querySelectorAll('#bars li').length === 5");
    assert_eq!(browser.text("#state"), "Watching");
    browser.picture(&kept("desktop-begin.png"));

    // without a name the button asks for one
    browser.click("#hold");
    assert!(browser.text("#toast").contains("Name it first"));
    browser.write("#label", "my piano");
    browser.hold("#hold", HOLD, "mouse");
    browser.wait_for(
        "it is recognised",
        "document.querySelector('#stable').textContent === 'my piano'",
    );
    browser
        .wait_for("its shots", "document.querySelectorAll('details[open] img.thumb').length >= 4");
    browser.wait_for("why", "document.querySelectorAll('#why img').length === 3");
    browser.wait_for(
        "the change",
        "document.querySelector('#changes li').textContent.includes('my piano')",
    );
    assert!(browser.text("#toast").contains("of my piano learned"));
    let shots = browser.count("details[open] .shot");
    assert_eq!(shots % 4, 0, "batches of four");

    // one shot is deleted, and brought back
    browser.click("details[open] .shot");
    browser.wait_for("the shot's picture", "!document.querySelector('#shot-dialog img').hidden");
    browser.picture(&kept("desktop-shot.png"));
    browser.click("#shot-dialog button[value=delete]");
    let one_less =
        format!("document.querySelectorAll('details[open] .shot').length === {}", shots - 1);
    browser.wait_for("one shot less", &one_less);
    browser.click("#undo");
    let all = format!("document.querySelectorAll('details[open] .shot').length === {shots}");
    browser.wait_for("the shot is back", &all);

    // a shot moves to another class
    browser.click("details[open] .shot");
    browser.run("document.querySelector('#shot-label').value = 'elsewhere'");
    browser.click("#shot-dialog button[value=move]");
    browser.wait_for("it moved", "[...document.querySelectorAll('summary')].some((s) => s.textContent === 'elsewhere1 shot')");

    // and back: two classes of one picture would leave nothing settled
    browser.click("#undo");
    browser.wait_for("the shot is back in its class", &all);

    // the class gets another name
    browser.click("details[open] > div > button");
    browser.run("document.querySelector('#class-label').value = 'the piano'");
    browser.click("#class-dialog button[value=rename]");
    browser
        .wait_for("the new name", "document.querySelector('#stable').textContent === 'the piano'");

    browser.click("#check");
    browser.wait_for("figures", "document.querySelector('#report strong')");
    browser.wait_for("a matrix", "document.querySelector('#report svg')");
    for (name, width, height, mobile) in [("desktop", 1280, 800, false), ("phone", 390, 844, true)]
    {
        browser.size(width, height, mobile);
        for dark in [false, true] {
            browser.dark(dark);
            let shade = if dark { "dark" } else { "light" };
            browser.picture(&kept(&format!("{name}-{shade}.png")));
        }
        let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{name}: {wide} pixels beside the screen");
    }
    let small = browser.run(
        "return [...document.querySelectorAll('button, input, summary')]
            .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44)
            .map((e) => e.outerHTML)",
    );
    assert_eq!(small, serde_json::json!([]), "too small for a finger");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn the_page_works_by_keyboard_and_finger_and_comes_back_when_the_camera_does() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    house.wall.show("sunflower");
    let Some(browser) = Browser::open(800, 900) else { return };
    browser.size(390, 844, true);
    browser.go(&house.url());
    browser.wait_for(
        "the live answer",
        "document.querySelector('#stable').textContent === 'sunflower'",
    );
    // Enter goes from the name to the button, space holds it
    browser.write("#label", "flower\u{e007}");
    browser.hold_key(" ", HOLD);
    browser
        .wait_for("it is recognised", "document.querySelector('#stable').textContent === 'flower'");
    browser.wait_for(
        "the button is free",
        "document.querySelector('#hold-text').textContent === 'Hold to learn'",
    );
    browser.click("#toast button");
    browser.wait_for("all of it is taken back", "document.querySelector('#undo').disabled");
    browser.wait_for("as before", "document.querySelector('#stable').textContent === 'sunflower'");
    browser.run("document.querySelector('#label').value = 'blossom'");
    browser.hold("#hold", HOLD, "touch");
    browser.wait_for(
        "it is recognised",
        "document.querySelector('#stable').textContent === 'blossom'",
    );

    house.health.input_failed("the camera was unplugged");
    house.wall.cover(true);
    browser.wait_for("the trouble is told", "!document.querySelector('#trouble').hidden");
    browser.wait_for(
        "in its words",
        "document.querySelector('#trouble').textContent.includes('unplugged')",
    );
    browser.picture(&kept("phone-trouble.png"));
    house.wall.cover(false);
    browser.wait_for("it is over", "document.querySelector('#trouble').hidden");

    drop(house);
    browser.wait_for("the end is told", "document.querySelector('#state').className === 'lost'");
    assert!(browser.text("#trouble").contains("tries again"));
    browser.picture(&kept("phone-lost.png"));
}

#[test]
fn the_token_opens_the_page_and_stays_out_of_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::open(&folder.path().join("token")).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let settings = Settings { address, token: Some(token.clone()), ..Settings::default() };
    let house = House::with(folder.path(), settings);
    house.wall.show("flamingo");
    let Some(browser) = Browser::open(800, 900) else { return };
    browser.go(&house.url());
    browser.wait_for("it asks for the token", "document.querySelector('#token-dialog').open");
    assert_eq!(browser.count("#bars li"), 0);
    browser.picture(&kept("token.png"));
    browser.write("#token", "wrong");
    browser.click("#token-dialog button");
    browser.wait_for("it asks again", "document.querySelector('#token-dialog').open");
    browser.write("#token", token.text());
    browser.click("#token-dialog button");
    browser.wait_for(
        "the live answer",
        "document.querySelector('#stable').textContent === 'flamingo'",
    );
    browser.wait_for("the live picture", "!document.querySelector('#picture').hidden");

    let Some(browser) = Browser::open(800, 900) else { return };
    browser.go(&format!("{}#token={}", house.url(), token.text()));
    browser.wait_for(
        "the live answer",
        "document.querySelector('#stable').textContent === 'flamingo'",
    );
    assert_eq!(browser.run("return location.href"), house.url().as_str());
    assert_eq!(browser.run("return document.cookie"), "");
}
