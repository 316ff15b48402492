import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { LanguageMenu, ThemeSwitch } from "../../frame/Preferences";

/** The frame of the pages before the console: what this is on the left, the form on the right. */
export function Story({ children }: { children: ReactNode }) {
  const { t } = useTranslation();
  return (
    <div className="gate">
      <aside className="story">
        <div className="row" style={{ fontSize: 17, fontWeight: 650 }}>
          <img src="/favicon.svg" alt="" width={28} height={28} /> aicp
        </div>
        <Rack />
        <div>
          <h2>{t("login.story")}</h2>
          <p>{t("login.storyText")}</p>
        </div>
      </aside>
      <main className="form">
        <div>{children}</div>
        <div style={{ position: "fixed", top: 14, right: 16, width: "auto" }} className="row">
          <LanguageMenu />
          <ThemeSwitch />
        </div>
      </main>
    </div>
  );
}

const ROWS = [
  [62, 22, 9],
  [100],
  [34, 34, 20],
  [48, 30],
  [78],
];

/** Cards cut into slices: the product in one picture. */
function Rack() {
  return (
    <svg viewBox="0 0 420 220" width="100%" style={{ maxWidth: 460 }} aria-hidden>
      {ROWS.map((slices, row) => {
        let x = 0;
        return (
          <g key={row} transform={`translate(0 ${row * 44})`}>
            <rect width="420" height="32" rx="6" fill="#12414a" />
            {slices.map((share, index) => {
              const start = x;
              const width = (share / 100) * 420;
              x += width;
              return <rect key={index} x={start + 3} y="3" width={width - 6} height="26" rx="4" fill={["#35a7b2", "#e0ac4f", "#7fd0c4"][index]} opacity={0.92 - row * 0.1} />;
            })}
          </g>
        );
      })}
    </svg>
  );
}
