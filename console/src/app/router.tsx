import { createBrowserRouter, Navigate, type RouteObject } from "react-router";
import { Gate } from "../pages/login/Gate";
import { PageSkeleton } from "../parts/Feedback";
import { Broken, Missing } from "./Broken";
import { PAGES } from "./pages";

export const pages: RouteObject[] = [
  { index: true, element: <Navigate to="/overview" replace /> },
  { path: "platform", element: <Navigate to="/platform/nodes" replace /> },
  ...Object.entries(PAGES).map(([path, load]) => ({ path, lazy: load })),
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
