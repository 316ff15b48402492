import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { changeLanguage, type Language } from "./i18n";
import type { ThemeName } from "./theme";

interface Settings {
  theme: ThemeName;
  setTheme: (name: ThemeName) => void;
  language: Language;
  setLanguage: (language: Language) => void;
}

const SettingsContext = createContext<Settings | null>(null);

function storedTheme(): ThemeName {
  const stored = localStorage.getItem("aicp.theme");
  if (stored === "light" || stored === "dark") return stored;
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Theme and language of this browser; the language is also kept with the user by `useRememberLanguage`. */
export function SettingsProvider({ initial, children }: { initial: Language; children: ReactNode }) {
  const [theme, setTheme] = useState(storedTheme);
  const [language, setLanguage] = useState(initial);

  useEffect(() => {
    localStorage.setItem("aicp.theme", theme);
    document.documentElement.dataset.theme = theme;
    document.documentElement.style.colorScheme = theme;
  }, [theme]);

  const value = useMemo<Settings>(
    () => ({
      theme,
      setTheme,
      language,
      setLanguage: (next) => void changeLanguage(next).then(() => setLanguage(next)),
    }),
    [theme, language],
  );
  return <SettingsContext value={value}>{children}</SettingsContext>;
}

export function useSettings(): Settings {
  const value = useContext(SettingsContext);
  if (!value) throw new Error("useSettings outside of SettingsProvider");
  return value;
}
