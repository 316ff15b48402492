import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import type en from "../locales/en.json";
import { loadSentences } from "./sentences";

export const LANGUAGES = ["zh-TW", "zh-CN", "en"] as const;
export type Language = (typeof LANGUAGES)[number];
export const LANGUAGE_NAMES: Record<Language, string> = { "zh-TW": "繁體中文", "zh-CN": "简体中文", en: "English" };

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: typeof en };
    contextSeparator: "~";
  }
}

const texts: Record<Language, () => Promise<{ default: object }>> = {
  en: () => import("../locales/en.json"),
  "zh-TW": () => import("../locales/zh-TW.json"),
  "zh-CN": () => import("../locales/zh-CN.json"),
};

export function isLanguage(value: unknown): value is Language {
  return LANGUAGES.some((language) => language === value);
}

/** The remembered language, else the browser's, else English. */
export function preferredLanguage(): Language {
  const stored = localStorage.getItem("aicp.language");
  if (isLanguage(stored)) return stored;
  for (const wanted of navigator.languages) {
    if (isLanguage(wanted)) return wanted;
    if (/^zh\b/i.test(wanted)) return /hant|tw|hk|mo/i.test(wanted) ? "zh-TW" : "zh-CN";
    if (/^en\b/i.test(wanted)) return "en";
  }
  return "en";
}

export async function startI18n(): Promise<Language> {
  const language = preferredLanguage();
  await i18next.use(initReactI18next).init({
    resources: {},
    lng: language,
    fallbackLng: false,
    // State names carry underscores, which would be read as contexts.
    contextSeparator: "~",
    interpolation: { escapeValue: false },
    saveMissing: true,
    missingKeyHandler: (_, __, key) => reportError(new Error(`no text for ${key}`)),
  });
  await changeLanguage(language);
  return language;
}

export async function changeLanguage(language: Language): Promise<void> {
  if (!i18next.hasResourceBundle(language, "translation")) {
    const module = await texts[language]();
    i18next.addResourceBundle(language, "translation", module.default);
  }
  await loadSentences(language);
  await i18next.changeLanguage(language);
  localStorage.setItem("aicp.language", language);
  document.documentElement.lang = language;
}
