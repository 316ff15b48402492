import { useQuery } from "@tanstack/react-query";
import { Navigate, Outlet, useLocation } from "react-router";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { sessionQuery } from "../../queries/session";
import { isPostponed } from "./postponed";

/** Lets only people with a session through; those with a first password are asked to change it, once a browser session. */
export function Gate() {
  const { data, isPending, error, refetch } = useQuery(sessionQuery);
  const location = useLocation();
  if (isPending) return <PageSkeleton />;
  if (error) return <ProblemView error={error} retry={() => void refetch()} />;
  if (!data) {
    const next = location.pathname === "/" ? "" : `?next=${encodeURIComponent(location.pathname + location.search)}`;
    return <Navigate to={`/login${next}`} replace />;
  }
  if (data.user.must_change_password && !isPostponed(data.user.name)) return <Navigate to="/password" replace />;
  return <Outlet />;
}
