import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { App, ConfigProvider } from "antd";
import en from "antd/locale/en_US";
import zhCN from "antd/locale/zh_CN";
import zhTW from "antd/locale/zh_TW";
import { useEffect, useMemo } from "react";
import { RouterProvider } from "react-router/dom";
import { onSessionLost, Problem } from "../api/client";
import { onUserGone, sessionQuery } from "../queries/session";
import { stopUploads } from "../queries/uploads";
import type { Language } from "./i18n";
import { router } from "./router";
import { SettingsProvider, useSettings } from "./settings";
import { themeConfig } from "./theme";

const LOCALES = { en, "zh-CN": zhCN, "zh-TW": zhTW };

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // Only what may heal by itself is tried again.
      retry: (count, error) => count < 2 && !(error instanceof Problem && error.status < 500),
      refetchOnWindowFocus: true,
    },
  },
});

export function Console({ language }: { language: Language }) {
  return (
    <SettingsProvider initial={language}>
      <QueryClientProvider client={client}>
        <Themed />
      </QueryClientProvider>
    </SettingsProvider>
  );
}

function Themed() {
  const { theme, language } = useSettings();
  const config = useMemo(() => themeConfig(theme, language), [theme, language]);
  useEffect(() => onSessionLost(() => client.setQueryData(sessionQuery.queryKey, null)), []);
  useEffect(() => onUserGone(client, stopUploads), []);
  return (
    <ConfigProvider theme={config} locale={LOCALES[language]} form={{ requiredMark: false }} button={{ autoInsertSpace: false }}>
      <App message={{ maxCount: 3 }} style={{ height: "100%" }}>
        <RouterProvider router={router} />
      </App>
    </ConfigProvider>
  );
}
