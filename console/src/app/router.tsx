import { createBrowserRouter, Navigate, type RouteObject } from "react-router";
import { Gate } from "../pages/login/Gate";
import { PageSkeleton } from "../parts/Feedback";
import { Broken, Missing } from "./Broken";

type Page = () => Promise<{ Component: React.ComponentType }>;

function page(path: string, load: Page): RouteObject {
  return { path, lazy: load };
}

/** Every page is a chunk of its own. */
export const pages: RouteObject[] = [
  { index: true, element: <Navigate to="/overview" replace /> },
  page("overview", async () => ({ Component: (await import("../pages/overview/Overview")).Overview })),
  page("models", async () => ({ Component: (await import("../pages/models/Models")).Models })),
  page("models/:name", async () => ({ Component: (await import("../pages/models/Model")).ModelPage })),
  page("services", async () => ({ Component: (await import("../pages/services/Services")).Services })),
  page("services/new", async () => ({ Component: (await import("../pages/services/Publish")).Publish })),
  page("services/:name/edit", async () => ({ Component: (await import("../pages/services/Publish")).Publish })),
  page("services/:name", async () => ({ Component: (await import("../pages/services/Service")).ServicePage })),
  page("playground", async () => ({ Component: (await import("../pages/playground/Playground")).Playground })),
  { path: "platform", element: <Navigate to="/platform/nodes" replace /> },
  page("platform/nodes", async () => ({ Component: (await import("../pages/platform/Nodes")).Nodes })),
  page("platform/nodes/:id", async () => ({ Component: (await import("../pages/platform/Node")).NodePage })),
  page("platform/engines", async () => ({ Component: (await import("../pages/platform/Engines")).Engines })),
  page("platform/users", async () => ({ Component: (await import("../pages/platform/Users")).Users })),
  page("platform/projects", async () => ({ Component: (await import("../pages/platform/Projects")).Projects })),
  page("platform/projects/:name", async () => ({ Component: (await import("../pages/platform/Project")).ProjectPage })),
  page("platform/keys", async () => ({ Component: (await import("../pages/platform/Keys")).Keys })),
  page("platform/usage", async () => ({ Component: (await import("../pages/platform/Usage")).Usage })),
  page("platform/audit", async () => ({ Component: (await import("../pages/platform/Audit")).Audit })),
  page("platform/jobs", async () => ({ Component: (await import("../pages/platform/Jobs")).Jobs })),
  { path: "*", element: <Missing /> },
];

export const router = createBrowserRouter([
  { path: "/login", lazy: async () => ({ Component: (await import("../pages/login/Login")).Login }), hydrateFallbackElement: <span /> },
  { path: "/password", lazy: async () => ({ Component: (await import("../pages/login/Password")).Password }), hydrateFallbackElement: <span /> },
  {
    path: "/",
    element: <Gate />,
    errorElement: <Broken />,
    hydrateFallbackElement: <span />,
    children: [
      {
        lazy: async () => ({ Component: (await import("../frame/Frame")).Frame }),
        hydrateFallbackElement: <PageSkeleton />,
        children: pages.map((route) => (route.index ? route : { ...route, errorElement: <Broken /> })),
      },
    ],
  },
]);
