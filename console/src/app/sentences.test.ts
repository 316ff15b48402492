import i18next from "i18next";
import { beforeEach, describe, expect, test } from "vitest";
import zhCN from "../locales/server/zh-CN.json";
import zhTW from "../locales/server/zh-TW.json";
import { learn, localized } from "./sentences";

const catalogues = { "zh-TW": zhTW, "zh-CN": zhCN };
const PLACES = /\{(\w+)(?::(\w+))?\}/g;
const places = (text: string) => [...text.matchAll(PLACES)].map(([, name]) => name).sort();

beforeEach(async () => {
  await i18next.init({ lng: "zh-TW", resources: {} });
  learn("zh-TW", zhTW);
  learn("zh-CN", zhCN);
});

test("both languages know the same sentences, in the same order, with the same places", () => {
  for (const part of ["sentences", "words"] as const) {
    expect(Object.keys(zhCN[part])).toEqual(Object.keys(zhTW[part]));
    for (const [english, text] of [...Object.entries(zhTW[part]), ...Object.entries(zhCN[part])]) expect(places(text), english).toEqual(places(english));
  }
});

test("simplified characters do not slip into the traditional sentences", () => {
  const simplified = /[们时这应务实验码请输错设备载级络运选择导删显档处节]/u;
  expect([...Object.values(zhTW.sentences), ...Object.values(zhTW.words)].filter((text) => simplified.test(text))).toEqual([]);
});

describe.each(Object.entries(catalogues))("%s", (language, catalogue) => {
  test("recognizes every sentence of its catalogue as itself", async () => {
    await i18next.changeLanguage(language);
    const samples: Record<string, string> = { number: "12", size: "1.5 GiB", word: "xq-7", name: "xq 8", state: "xq-9", short: "xq 5", text: "xq 9" };
    const wrong = Object.entries({ ...catalogue.words, ...catalogue.sentences }).flatMap(([english, text]) => {
      const values = new Map([...english.matchAll(PLACES)].map(([, name, kind]) => [name, samples[kind ?? "name"] ?? ""]));
      const filled = (template: string) => template.replace(PLACES, (_, name: string) => values.get(name) ?? "").trim();
      const said = localized(filled(english)).trim();
      return said.replace(/。$/, "") === filled(text).replace(/。$/, "") ? [] : [`${filled(english)} -> ${said}`];
    });
    expect(wrong).toEqual([]);
  });
});

test.each([
  ["It fits: 1.46 GiB for each replica (weights 1.2 GiB + kv cache 240 MiB) on node n1.", "可以放下：每個實例需 1.46 GiB（模型權重 1.2 GiB + KV 快取 240 MiB），位於節點 n1。"],
  [
    "No node in pool default has 40 GiB free (largest: 12 GiB on node n1). One replica needs weights 39 GiB + reserve 1 GiB.",
    "資源池 default 中沒有節點有 40 GiB 可用（最大：節點 n1 的 12 GiB）。每個實例需要模型權重 39 GiB + 預留 1 GiB。",
  ],
  [
    "the model's own limit (made smaller to fit: 2 of 4 users, context 512 of 2048); a token costs 12 KiB of cache (2 x 28 layers x 2 heads x 64 x 2 bytes)",
    "模型自身的上限（已縮小以便放下：4 位使用者減為 2 位，上下文 2048 減為 512）；每個 token 佔用 12 KiB 快取（2 x 28 層 x 2 頭 x 64 x 2 位元組）",
  ],
  [
    "Waiting: no node in pool default has 4 GiB free (largest: 1 GiB on node n1). Try: stop one or two.",
    "等待中：資源池 default 中沒有節點有 4 GiB 可用（最大：節點 n1 的 1 GiB）。可嘗試：停止 one 或 two。",
  ],
  [
    "Starting: engine start (restarted 2 times: The engine ended with exit code 3. Its last words: RuntimeError: no luck today)",
    "啟動中：啟動引擎（已重新啟動 2 次：引擎已結束，結束碼 3。最後的輸出：RuntimeError: no luck today）",
  ],
  ["There is no model 'tiny'. `aicp model list` shows the models.", "沒有模型「tiny」。`aicp model list` 會列出模型。"],
  ["The request is not valid: users: Input should be greater than or equal to 1; name: Field required.", "請求無效：users：不得小於 1；name：此欄位為必填。"],
  ["ValueError: something of an engine went wrong here", "ValueError: something of an engine went wrong here"],
  [
    "Import m1: 'http://127.0.0.1/x' may not be fetched: '127.0.0.1' is at the private or reserved address 127.0.0.1.",
    "導入 m1：不得抓取「http://127.0.0.1/x」：「127.0.0.1」位於私有或保留位址 127.0.0.1。",
  ],
  ["Import m1: The hub does not answer (boom).", "導入 m1：模型社群沒有回應（boom）。"],
  ["Loading: engine start 3 s", "載入中：啟動引擎 3 秒"],
  ["Revision 2 was rolled back to 1: 3 starts failed: The engine ended with exit code 3..", "修訂 2 已回滾至 1：啟動失敗 3 次：引擎已結束，結束碼 3。"],
  [
    "Starting: installing engine vllm 0.32.0 (installing torch, 12 of 140 packages, numpy; 31 MB downloaded)",
    "啟動中：正在安裝引擎 vllm 0.32.0（正在安裝 torch、12 / 140 個套件、numpy；已下載 31 MB）",
  ],
  ["Import m1: succeeded", "導入 m1：已完成"],
  ["Replica rep_1 of ready is failed: The engine ended with exit code 3.", "ready 的實例 rep_1：失敗：引擎已結束，結束碼 3。"],
  ["The folder holds what is no plain file: a b (a symbolic link), c (no regular file) and more.", "資料夾中含有非一般檔案：a b（符號連結）、c（不是一般檔案） 等。"],
  ["Input should be 'one', 'two' or 'three'", "只能是「one」、「two」、「three」"],
  ["Revision 3. Replicas: 2.", "修訂 3。實例數：2。"],
])("%s", (english, chinese) => {
  expect(localized(english)).toBe(chinese);
});

test("English is said as it comes", async () => {
  await i18next.changeLanguage("en");
  expect(localized("There is no model 'tiny'.")).toBe("There is no model 'tiny'.");
});
