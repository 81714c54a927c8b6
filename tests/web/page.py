#!/usr/bin/python3
"""A browser at the page of `zocp web`: Debian's chromium, driven by selenium.

    page.py STEPS URL [OPTION=VALUE...]

STEPS names a function below. It prints a line for each thing that it has seen, `ok` at its end, and ends with a
traceback when something is not as it has to be. Options: `axe`, the file of axe-core; `pictures`, a directory for
pictures; `rebound`, an address that a foreign name stands for.
"""

import hashlib
import json
import os
import ssl
import sys
import time
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60


class Page:
    """One browser, at the page."""

    def __init__(self, url, width=1280, height=850, theme="dark", arguments=()):
        options = Options()
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-proxy-server", "--disable-background-networking", "--disable-component-update",
            "--window-size=%d,%d" % (width, height), *arguments,
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(PATIENCE)
        self.look_as(width, height, theme)
        self.url = url

    def look_as(self, width, height, theme):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": theme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self):
        self.driver.get(self.url)
        self.until("document.querySelector('#views a')")
        return self

    def view(self, name):
        self.run("location.hash = arguments[0]", name)
        self.until("document.getElementById('main').className === arguments[0]", name)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, condition, *arguments):
        """Waits until a condition in JavaScript holds; its value."""
        try:
            return WebDriverWait(self.driver, PATIENCE).until(lambda _: self.run("return " + condition, *arguments))
        except Exception as error:
            text = self.run("return document.body.innerText")
            raise AssertionError("in vain: %s %s\n%s\n%s" % (condition, arguments, text[:3000], self.logged())) from error

    def of_modules(self, script):
        """Runs something with the page's own module `link`; gives back what its promise gives."""
        script = "const done = arguments[0]; import('/link.js').then(async (link) => { %s })" % script
        script += ".then((it) => done([it]), (error) => done({ error: String(error.message ?? error) }))"
        result = self.driver.execute_async_script(script)
        if isinstance(result, dict):
            raise RuntimeError(result["error"])
        return result[0]

    def logged(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def one(self, selector):
        self.until("document.querySelector(arguments[0])", selector)
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def is_quiet(self):
        """Nothing was refused by the rules of the page, and no script failed."""
        wrong = [line for line in self.logged() if "favicon" not in line]
        assert not wrong, wrong


def say(text):
    print(text, flush=True)


def port(way, identity):
    return '[data-port="%s %s"]' % (way, identity)


def patch(url, options):
    """A cable is drawn with the pointer, seen, and taken away with the keyboard; a slider moves a lamp."""
    page = Page(url).open()
    page.until("document.querySelectorAll('.card').length >= 2")
    page.view("patch")
    start, end = page.one(port("out", "desk/fader")), page.one(port("in", "lamp/level"))
    ActionChains(page.driver).click_and_hold(start).move_by_offset(60, 30).move_to_element(end).release().perform()
    page.until("document.querySelector('.cable.active')")
    say("drawn")
    assert sys.stdin.readline() == "remove\n"
    cable = page.one(".cable")
    assert "desk · fader → lamp · level" in cable.get_attribute("aria-label"), cable.get_attribute("aria-label")
    page.run("arguments[0].focus()", cable)
    ActionChains(page.driver).send_keys(Keys.DELETE).perform()
    page.until("!document.querySelector('.cable')")
    say("removed")
    # The same with the keyboard alone: one port, then the other.
    for way, identity in (("out", "desk/fader"), ("in", "lamp/level")):
        page.run("arguments[0].focus()", page.one(port(way, identity)))
        ActionChains(page.driver).send_keys(Keys.ENTER).perform()
    page.until("document.querySelector('.cable.active')")
    say("wired with keys")
    page.view("list")
    slider = page.one('[data-id="lamp/dim"] input[type=range]')
    page.run("arguments[0].focus()", slider)
    ActionChains(page.driver).send_keys(Keys.END).perform()
    page.until("document.querySelector('[data-id=\"lamp/dim\"] input[type=number]').value === '255'")
    say("slid")
    assert sys.stdin.readline() == "gone\n"
    page.until("document.querySelector('.card.left[data-label=lamp]')")
    say("greyed")
    page.is_quiet()


def scenes(url, options):
    """A scene is saved, compared with what is, and loaded."""
    page = Page(url).open()
    page.view("scenes")
    page.one("main form input").send_keys("evening")
    page.one("main form button").click()
    page.until("document.querySelector('.scenelist button')")
    say("saved")
    page.of_modules("await link.set('lamp/dim', 7)")
    page.one(".scenelist button").click()
    page.until("document.querySelector('.result table')?.innerText.includes('lamp:dim')")
    say("differs")
    page.one(".result button").click()
    page.until("document.querySelector('.result .good')")
    say("loaded")
    page.is_quiet()


def rules(url, options):
    """The rules by which services are exported and imported, as they come and go."""
    page = Page(url).open()
    page.view("services")
    text = "(document.querySelector('main').innerText)"
    page.until(text + ".includes('org.example.Lamp')")
    rows = page.run("return [...document.querySelectorAll('main tbody tr')].map((row) => [...row.cells].map((it) => it.innerText))")
    if "pictures" in options:
        for width in (320, 1280, 2560):
            page.look_as(width, 850, "dark" if width == 1280 else "light")
            page.driver.save_screenshot("%s/rules-%d.png" % (options["pictures"], width))
    say("rows %s" % json.dumps([row for row in rows if row[0].startswith("org.")]))
    assert sys.stdin.readline() == "gone\n"
    page.until("!" + text + ".includes('see, call org.example.Lamp1.Blink')")
    say("taken back")
    page.is_quiet()


def hostile(url, options):
    """Names that are markup, that turn the direction of reading, and that are very long."""
    page = Page(url, 360, 700).open()
    page.until("document.querySelectorAll('.card').length >= 2")
    for view in ("list", "patch", "wires", "scenes", "services"):
        say("step")
        page.view(view)
        time.sleep(0.5)
        assert page.run("return document.querySelectorAll('main img, main script, main b').length") == 0, view
        assert page.run("return window.hit === undefined")
        width = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], (view, width)
        text = page.run("return document.body.innerText")
        assert not set(text) & set("\u202e\u2066\u200f\x1b"), view
        longest = max(len(line) for line in text.split("\n"))
        assert longest < 3000, (view, longest)
    page.view("list")
    text = page.run("return document.querySelector('main').innerText")
    assert "<img src=x onerror=" in text, text[:2000]
    page.is_quiet()
    say("step")
    # A name of somebody else's DNS that stands for this machine.
    rebound = Page("http://evil.example:%d/" % urlsplit(url).port, arguments=["--host-resolver-rules=MAP evil.example 127.0.0.1"])
    rebound.driver.get(rebound.url)
    assert "not called that" in rebound.run("return document.body.innerText")
    rebound.driver.quit()
    say("harmless")


COUNT = """
    const seen = { fast: 0, frames: 0, longest: 0, ages: [] };
    link.told.addEventListener('values', (event) => {
      for (const id of event.detail) {
        if (!id.endsWith('/fast')) continue;
        seen.fast += 1;
        // The value says when it was made; it is on the screen with the next frame.
        const made = link.state.values.get(id);
        requestAnimationFrame(() => seen.ages.push(performance.timeOrigin + performance.now() - made));
      }
    });
    const began = performance.now();
    let before = began;
    return new Promise((done) => requestAnimationFrame(function frame(now) {
      seen.frames += 1;
      seen.longest = Math.max(seen.longest, now - before);
      before = now;
      if (SCROLLS) document.scrollingElement.scrollTop = ((now - began) * 3) % (document.scrollingElement.scrollHeight - innerHeight);
      const ages = seen.ages.sort((a, b) => a - b);
      const age = (part) => Math.round(ages[Math.floor(ages.length * part)]);
      if (now - began > 4000) done({ ...seen, ages: undefined, p50: age(0.5), p99: age(0.99),
        seconds: (now - began) / 1000, height: document.scrollingElement.scrollHeight });
      else requestAnimationFrame(frame);
    }));
"""


def fast(url, options):
    """A thousand capabilities are scrolled while a value changes a thousand times a second; seven tabs."""
    page = Page(url).open()
    say("step")
    page.until("document.querySelectorAll('.row').length >= 200")
    say("counts one tab")
    counted = page.of_modules(COUNT.replace("SCROLLS", "true"))
    say("one tab: " + json.dumps(counted))
    # A row that was not drawn yet counts for less: a slow machine does not get to all of them.
    assert counted["height"] > 5000, counted
    assert 0 < counted["fast"] / counted["seconds"] <= 31, counted
    first = page.driver.current_window_handle
    for _ in range(6):
        say("step")
        page.driver.switch_to.new_window("window")
        page.driver.get(url.split("#")[0])
        page.until("document.querySelectorAll('.row').length >= 200")
        counted = page.of_modules(COUNT.replace("SCROLLS", "false"))
        assert 0 < counted["fast"] / counted["seconds"] <= 31, counted
    page.driver.switch_to.window(first)
    say("counts seven tabs")
    say("seven tabs: " + json.dumps(page.of_modules(COUNT.replace("SCROLLS", "true"))))
    first = page.run("return performance.getEntriesByType('paint').map((it) => [it.name, Math.round(it.startTime)])")
    say("painted: " + json.dumps(first))


def figures(url, options):
    """What `tests/bench/page.sh` prints: one and seven tabs beside many nodes, and the scrolling of all of them."""
    page = Page(url).open()
    nodes = int(options["nodes"])
    page.until("document.querySelectorAll('.card').length >= arguments[0]", nodes)
    painted = page.run("return performance.getEntriesByType('paint').map((it) => [it.name, Math.round(it.startTime)])")
    say("first paint: %s" % dict(painted))
    for tabs in (1, 7):
        while len(page.driver.window_handles) < tabs:
            page.driver.switch_to.new_window("window")
            page.driver.get(url.split("#")[0])
            page.until("document.querySelectorAll('.card').length >= arguments[0]", nodes)
        page.driver.switch_to.window(page.driver.window_handles[0])
        for scrolls in ("false", "true"):
            before = [busy(options[it]) for it in ("bridge", "web")]
            began = time.monotonic()
            seen = page.of_modules(COUNT.replace("SCROLLS", scrolls))
            took = time.monotonic() - began
            bridge, web = [100 * (busy(options[it]) - was) / took for it, was in zip(("bridge", "web"), before)]
            say("%d tabs%s: %.0f frames/s, longest %.0f ms; change to pixels p50 %s ms, p99 %s ms; "
                "bridge %.0f %%, web %.0f %% of a processor" % (
                    tabs, ", scrolling" if scrolls == "true" else "", seen["frames"] / seen["seconds"], seen["longest"],
                    seen.get("p50"), seen.get("p99"), bridge, web))


def busy(pid):
    """Seconds of processor that a process has taken."""
    with open("/proc/%s/stat" % pid, encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def roles(url, options):
    """Who may look may not set; who has no session is asked for a password; the certificate is the one told."""
    address = urlsplit(url)
    page = Page(url.split("#")[0], arguments=["--ignore-certificate-errors"])
    page.driver.get(page.url)
    field = page.one("#secret")
    field.send_keys("wrong password" + Keys.ENTER)
    page.until("document.querySelector('.login .bad').innerText")
    say("refused")
    field.clear()
    field.send_keys("only to look" + Keys.ENTER)
    page.until("document.querySelectorAll('.card').length >= 1")
    assert page.run("return document.querySelector('.role').innerText") == "look"
    assert page.run("return document.querySelectorAll('.row input').length") == 0
    may_not = "may not do that"
    refuses(page, {"set": may_not, "call": may_not, "wire": may_not, "unwire": may_not, "scene-save": may_not,
                   "scene-load": may_not, "no such thing": "unknown request"})
    assert page.run("return document.cookie") == "", "scripts do not see the cookie"
    # A logout, here one of another tab, ends what the tab is told, and it asks for a password.
    page.of_modules("await fetch('/logout', { method: 'POST' })")
    field = page.one("#secret")
    field.send_keys("to play with" + Keys.ENTER)
    page.until("document.querySelectorAll('.card').length >= 1")
    page.of_modules("await link.request('set', { capability: 'lamp/level', value: 0.25 })")
    refuses(page, {"wire": may_not, "unwire": may_not, "scene-save": may_not, "scene-load": may_not})
    say("looks")
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((address.hostname, address.port)))
    digest = hashlib.sha256(certificate).hexdigest().upper()
    say("fingerprint " + ":".join(digest[at:at + 2] for at in range(0, 64, 2)))


def refuses(page, reasons):
    """Each request is refused, for its reason."""
    for wanted, reason in reasons.items():
        try:
            page.of_modules("return link.request('%s', { capability: 'lamp/level', value: 1 })" % wanted)
        except RuntimeError as error:
            assert reason in str(error), error
        else:
            raise AssertionError("%s was done" % wanted)


def accessible(url, options):
    """axe-core finds nothing serious in any view, in both themes and three widths; pictures of all."""
    with open(options["axe"], encoding="utf-8") as file:
        axe = file.read()
    page = Page(url).open()
    page.until("document.querySelectorAll('.card').length >= 2")
    page.of_modules("await link.request('wire', { from: 'desk/fader', to: 'lamp/level', options: {} })")
    for theme in ("dark", "light"):
        for width in (320, 1280, 2560):
            page.look_as(width, 1300 if width > 2000 else 850, theme)
            for view in ("list", "patch", "wires", "scenes", "services"):
                say("step")
                page.view(view)
                time.sleep(1)
                over = page.run("return document.documentElement.scrollWidth - innerWidth")
                assert over <= 0, (view, width, over)
                if "pictures" in options:
                    page.driver.save_screenshot("%s/%s-%s-%d.png" % (options["pictures"], view, theme, width))
                if width == 2560:
                    continue
                page.run(axe)
                found = page.driver.execute_async_script(
                    "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then(done)")
                serious = [it for it in found["violations"] if it["impact"] in ("serious", "critical")]
                shown = [(it["id"], [node["html"][:200] + node["failureSummary"] for node in it["nodes"]][:3]) for it in serious]
                assert not serious, (view, theme, width, shown)
    say("step")
    page.look_as(1280, 850, "dark")
    page.view("wires")
    page.one("main .primary").click()
    page.run(axe)
    found = page.driver.execute_async_script("const done = arguments[0]; axe.run(document).then(done)")
    assert not [it for it in found["violations"] if it["impact"] in ("serious", "critical")], found["violations"]
    say("accessible")


def main():
    steps, url = sys.argv[1:3]
    options = dict(option.split("=", 1) for option in sys.argv[3:])
    globals()[steps](url, options)
    say("ok")


main()
