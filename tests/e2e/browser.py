"""Real Chromium by its own driver: pages, their messages and their requests."""

import json
import shutil

from tests.servers import HANG_S

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--window-size=1600,1000",
)


def start_chromium():
    """Keeps the page's messages and requests for :func:`messages` and :func:`requested`."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def page(browser, url: str, *texts: str) -> str:
    """The page's content, once every text stands in it or is seen on it."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get("about:blank")  # else a change of the part behind # loads nothing anew
    browser.get(url)
    wait = WebDriverWait(browser, timeout=HANG_S)
    missing = list(texts)

    def whole(driver) -> bool:
        seen = driver.execute_script("return document.body.innerText")
        missing[:] = [text for text in texts if text not in driver.page_source and text not in seen]
        return not missing

    wait.until(whole, message=f"not on {url}: {missing}")
    return browser.page_source


def messages(browser) -> list[str]:
    """What the page wrote to the console since the last call."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requested(browser) -> list[str]:
    """What the browser asked for since the last call."""
    logged = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in logged if m["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent]
