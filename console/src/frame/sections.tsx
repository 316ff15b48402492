import { ApiOutlined, AppstoreOutlined, BarChartOutlined, BranchesOutlined, CalculatorOutlined, CloudServerOutlined, ClusterOutlined, CommentOutlined, DashboardOutlined, DatabaseOutlined, DollarOutlined, FileProtectOutlined, FileSearchOutlined, FundOutlined, GlobalOutlined, GoldOutlined, KeyOutlined, ProjectOutlined, RetweetOutlined, ScheduleOutlined, SnippetsOutlined, TeamOutlined, ThunderboltOutlined } from "@ant-design/icons";
import type { ReactNode } from "react";
import type { Permission } from "../api/schema";

type Name = "overview" | "models" | "services" | "playground" | "platform" | "pools" | "nodes" | "accelerators" | "gateway" | "engines" | "routes" | "providers" | "users" | "projects" | "keys" | "prices" | "traffic" | "cache" | "usage" | "requests" | "audit" | "jobs" | "batches";

export interface Section {
  name: Name;
  path: string;
  icon: ReactNode;
  needs: Permission;
  children?: Section[];
}

/** The rail: only what exists and what the user may see. */
export const SECTIONS: Section[] = [
  { name: "overview", path: "/overview", icon: <DashboardOutlined />, needs: "service:read" },
  { name: "models", path: "/models", icon: <DatabaseOutlined />, needs: "model:read" },
  { name: "services", path: "/services", icon: <CloudServerOutlined />, needs: "service:read" },
  { name: "playground", path: "/playground", icon: <CommentOutlined />, needs: "playground:use" },
  {
    name: "platform",
    path: "/platform",
    icon: <AppstoreOutlined />,
    needs: "project:read",
    children: [
      { name: "pools", path: "/platform/pools", icon: <GoldOutlined />, needs: "node:read" },
      { name: "nodes", path: "/platform/nodes", icon: <ClusterOutlined />, needs: "node:read" },
      { name: "accelerators", path: "/platform/accelerators", icon: <CalculatorOutlined />, needs: "node:read" },
      { name: "gateway", path: "/platform/gateway", icon: <ApiOutlined />, needs: "node:read" },
      { name: "engines", path: "/platform/engines", icon: <ThunderboltOutlined />, needs: "engine:read" },
      { name: "routes", path: "/platform/routes", icon: <BranchesOutlined />, needs: "service:read" },
      { name: "providers", path: "/platform/providers", icon: <GlobalOutlined />, needs: "provider:read" },
      { name: "keys", path: "/platform/keys", icon: <KeyOutlined />, needs: "key:read" },
      { name: "prices", path: "/platform/prices", icon: <DollarOutlined />, needs: "usage:read" },
      { name: "traffic", path: "/platform/traffic", icon: <FundOutlined />, needs: "service:read" },
      { name: "cache", path: "/platform/cache", icon: <RetweetOutlined />, needs: "service:read" },
      { name: "usage", path: "/platform/usage", icon: <BarChartOutlined />, needs: "usage:read" },
      { name: "requests", path: "/platform/requests", icon: <FileSearchOutlined />, needs: "usage:read" },
      { name: "batches", path: "/platform/batches", icon: <SnippetsOutlined />, needs: "batch:read" },
      { name: "users", path: "/platform/users", icon: <TeamOutlined />, needs: "user:read" },
      { name: "projects", path: "/platform/projects", icon: <ProjectOutlined />, needs: "project:read" },
      { name: "audit", path: "/platform/audit", icon: <FileProtectOutlined />, needs: "audit:read" },
      { name: "jobs", path: "/platform/jobs", icon: <ScheduleOutlined />, needs: "job:read" },
    ],
  },
];
