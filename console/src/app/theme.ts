import { theme as antd, type ThemeConfig } from "antd";
import type { Language } from "./i18n";

export type ThemeName = "light" | "dark";

const LATIN = '"Inter Variable", -apple-system, BlinkMacSystemFont, "Segoe UI"';
const SANS: Record<Language, string> = {
  en: `${LATIN}, "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK TC", sans-serif`,
  "zh-TW": `${LATIN}, "PingFang TC", "Microsoft JhengHei", "Noto Sans TC", "Noto Sans CJK TC", sans-serif`,
  "zh-CN": `${LATIN}, "PingFang SC", "Microsoft YaHei", "Noto Sans SC", "Noto Sans CJK SC", sans-serif`,
};
const MONO = 'ui-monospace, "SF Mono", "JetBrains Mono", Menlo, Consolas, "Noto Sans Mono CJK TC", monospace';

const shared = {
  borderRadius: 6,
  borderRadiusLG: 8,
  fontSize: 14,
  fontFamilyCode: MONO,
  motionDurationFast: "0.08s",
  motionDurationMid: "0.14s",
  motionDurationSlow: "0.18s",
  wireframe: false,
};

const light: ThemeConfig["token"] = {
  colorPrimary: "#0e7c86",
  colorInfo: "#0e7c86",
  colorLink: "#0b6b75",
  colorPrimaryHover: "#0b6b75",
  colorPrimaryActive: "#095862",
  colorLinkHover: "#095862",
  colorSuccess: "#1d6b41",
  colorWarning: "#85530a",
  colorError: "#b0332a",
  colorErrorHover: "#962a22",
  colorBgLayout: "#f3f6f7",
  colorBgContainer: "#ffffff",
  colorBgElevated: "#ffffff",
  colorText: "#12232b",
  colorTextSecondary: "#495c66",
  colorTextTertiary: "#5b6d77",
  colorTextPlaceholder: "#66767f",
  colorTextDescription: "#5b6d77",
  colorBorder: "#cfdade",
  colorBorderSecondary: "#e3eaed",
  colorFillTertiary: "#eef2f4",
  colorFillQuaternary: "#f6f9fa",
  colorBgSpotlight: "#1c2f38",
  boxShadowTertiary: "0 1px 2px rgba(18,35,43,.05)",
};

const dark: ThemeConfig["token"] = {
  colorPrimary: "#3fb2bd",
  colorInfo: "#3fb2bd",
  colorLink: "#62c6cf",
  colorLinkHover: "#8ad8de",
  colorSuccess: "#5cc48b",
  colorWarning: "#e0ac4f",
  colorError: "#f0857b",
  colorBgBase: "#0f171b",
  colorBgLayout: "#0b1114",
  colorBgContainer: "#121b20",
  colorBgElevated: "#1a252b",
  colorText: "#e3ecef",
  colorTextSecondary: "#a9bac2",
  colorTextTertiary: "#93a5ae",
  colorTextPlaceholder: "#82949d",
  colorTextDescription: "#93a5ae",
  colorBorder: "#33434b",
  colorBorderSecondary: "#222e34",
  colorFillTertiary: "#1a252b",
  colorFillQuaternary: "#151f24",
  colorBgSpotlight: "#2c3c44",
  boxShadowTertiary: "none",
};

export function themeConfig(name: ThemeName, language: Language): ThemeConfig {
  const token = name === "dark" ? dark : light;
  return {
    algorithm: name === "dark" ? antd.darkAlgorithm : antd.defaultAlgorithm,
    cssVar: { key: "aicp", prefix: "ant" },
    hashed: false,
    token: { ...shared, ...token, fontFamily: SANS[language] },
    components: {
      // White on the dark theme's lighter primary would miss AA contrast.
      Button: { primaryShadow: "none", defaultShadow: "none", dangerShadow: "none", ...(name === "dark" ? { primaryColor: "#04181b" } : {}) },
      Table: { headerBg: "transparent", headerColor: token?.colorTextTertiary, headerSplitColor: "transparent", cellPaddingBlockMD: 10, cellPaddingInlineMD: 12 },
      Menu: { itemSelectedBg: name === "dark" ? "#16323a" : "#e3f1f2", itemSelectedColor: token?.colorLink, itemBg: "transparent", subMenuItemBg: "transparent", itemHeight: 36, itemMarginInline: 8, activeBarBorderWidth: 0, iconSize: 16 },
      Tabs: { horizontalMargin: "0 0 16px 0", horizontalItemGutter: 24 },
      Card: { headerFontSize: 14, headerHeight: 44, bodyPadding: 16 },
      Form: { itemMarginBottom: 18, verticalLabelPadding: "0 0 4px" },
      Slider: { trackBg: token?.colorPrimary, trackHoverBg: token?.colorPrimary, handleColor: token?.colorPrimary, railBg: token?.colorBorder },
      Segmented: { trackPadding: 3 },
    },
  };
}

/** Colours of series in charts: the same position always means the same thing on one page. */
export function chartColors(name: ThemeName): string[] {
  return name === "dark"
    ? ["#3fb2bd", "#e0ac4f", "#8f9df0", "#e58ab0", "#7cc47f", "#c79bd8"]
    : ["#0e7c86", "#c07c12", "#4f5fc4", "#b8457a", "#3d8b46", "#8251a3"];
}
