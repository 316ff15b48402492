import { useQuery } from "@tanstack/react-query";
import { Menu } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useLocation } from "react-router";
import { api, need } from "../api/client";
import { useMay } from "../queries/session";
import { SECTIONS } from "./sections";

export function Rail() {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  const may = useMay();
  const { data: version } = useQuery({ queryKey: ["version"], staleTime: Infinity, queryFn: () => need(api.GET("/api/v1/version")) });
  const items = SECTIONS.filter((section) => may(section.needs)).map((section) => ({
    key: section.path,
    icon: section.icon,
    label: section.children ? t(`nav.${section.name}`) : <Link to={section.path}>{t(`nav.${section.name}`)}</Link>,
    children: section.children
      ?.filter((child) => may(child.needs))
      .map((child) => ({ key: child.path, icon: child.icon, label: <Link to={child.path}>{t(`nav.${child.name}`)}</Link> })),
  }));
  const current = SECTIONS.flatMap((section) => section.children ?? [section]).find((section) => pathname.startsWith(section.path));
  return (
    <nav className="rail" aria-label={t("frame.sections")}>
      <Link className="brand" to="/overview">
        <img src="/favicon.svg" alt="" />
        aicp
      </Link>
      <Menu mode="inline" inlineIndent={14} defaultOpenKeys={["/platform"]} selectedKeys={current ? [current.path] : []} items={items} />
      <div className="foot num">{version ? t("frame.version", { version: version.version }) : ""}</div>
    </nav>
  );
}
