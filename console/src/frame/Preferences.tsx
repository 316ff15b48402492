import { GlobalOutlined, MoonOutlined, SunOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../api/client";
import { isLanguage, LANGUAGE_NAMES, LANGUAGES, type Language } from "../app/i18n";
import { useSettings } from "../app/settings";
import { sessionQuery } from "../queries/session";

/** The language of this browser, remembered with the user when one is logged in. */
export function LanguageMenu() {
  const { t } = useTranslation();
  const { language, setLanguage } = useSettings();
  const client = useQueryClient();
  const { data: session } = useQuery({ ...sessionQuery, enabled: false });
  const choose = (next: Language) => {
    setLanguage(next);
    if (session) void need(api.PUT("/api/v1/session/preferences", { body: { language: next } })).then(() => client.invalidateQueries({ queryKey: sessionQuery.queryKey }));
  };
  return (
    <Dropdown
      trigger={["click"]}
      menu={{
        selectable: true,
        selectedKeys: [language],
        items: LANGUAGES.map((key) => ({ key, label: <span lang={key}>{LANGUAGE_NAMES[key]}</span> })),
        onClick: ({ key }) => isLanguage(key) && choose(key),
      }}
    >
      <Button type="text" icon={<GlobalOutlined />} aria-label={t("frame.language")} title={t("frame.language")} data-testid="language" />
    </Dropdown>
  );
}

export function ThemeSwitch() {
  const { t } = useTranslation();
  const { theme, setTheme } = useSettings();
  const next = theme === "dark" ? "light" : "dark";
  return <Button type="text" icon={theme === "dark" ? <SunOutlined /> : <MoonOutlined />} aria-label={t(`frame.${next}`)} title={t(`frame.${next}`)} onClick={() => setTheme(next)} data-testid="theme" />;
}
